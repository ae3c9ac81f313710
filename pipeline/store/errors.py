"""What can be wrong with a store or with a sample on its way into one."""

from __future__ import annotations

from augment.errors import UserError


class InvalidSample(ValueError):  # noqa: N818 - it names the object at fault
    """A sample that no store can hold; the message starts with the kind of fault and a colon."""


class CorruptStore(Exception):  # noqa: N818 - it names the object at fault
    """Bytes on disk that are not what the store's own records say."""


class StoreUnavailable(Exception):  # noqa: N818 - it names the fault
    """An object store that kept failing for longer than it is waited for.

    No OSError, because those make single samples fail, and this is no sample's fault.
    """


class FingerprintMismatch(UserError):  # noqa: N818 - it names the fault
    """A store made from other inputs than the ones asked for."""
