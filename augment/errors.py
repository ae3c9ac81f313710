"""Errors that the user can fix, values that are not finite, and the loss of another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

    T = TypeVar("T", bound=torch.Tensor)


class UserError(Exception):
    """A mistake in the input, in one line: what, where, and what would be right."""


class PeerLost(Exception):  # noqa: N818 - it says what happened
    """Another process of a training has ended, so this one cannot go on either; a new group of processes can."""


class NotFinite(UserError):  # noqa: N818 - it names the fault
    """Values are NaN or infinite: the model or its input is at fault."""


def require_finite(values: T, what: str) -> T:
    """Return the values; raise NotFinite, which says `what` they are, if one is NaN or infinite."""
    require_none(0 if bool(values.isfinite().all()) else int((~values.isfinite()).sum()), values.numel(), what)
    return values


def require_none(count: int, total: int, what: str) -> None:
    """Raise NotFinite if `count` of `total` values are NaN or infinite; it says `what` they are."""
    if count:
        raise NotFinite(
            f"{what} hold {count} NaN or infinite values of {total}: the weights are damaged or too large for the "
            "precision; get the model again, or set its precision (generator.precision) to fp32"
        )
