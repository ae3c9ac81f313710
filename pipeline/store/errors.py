"""Errors of stores, and of samples that are being written to one."""

from __future__ import annotations

from augment.errors import UserError


class InvalidSample(ValueError):  # noqa: N818 - it names the object at fault
    """A sample that no store can hold; the message starts with the kind of fault and a colon."""


class CorruptStore(Exception):  # noqa: N818 - it names the object at fault
    """Bytes on disk differ from the store's own records."""


class StoreUnavailable(Exception):  # noqa: N818 - it names the fault
    """An object store failed for longer than the limit of the retries.

    Not an OSError, because an OSError fails single samples, and this is no sample's fault.
    """


class FingerprintMismatch(UserError):  # noqa: N818 - it names the fault
    """A store was made from other inputs than the requested ones."""
