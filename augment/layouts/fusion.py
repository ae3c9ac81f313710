"""Features of several backbones side by side: scaled so that each counts as much as the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from augment.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def equal_variance_scale(variances: NDArray[np.float64], groups: Sequence[int]) -> NDArray[np.float64]:
    """A factor for each channel that gives all groups of channels the same total variance, 1.

    Without it, the components of a fusion would be those of the backbone with the largest activations.

    Args:
        variances: `float64 [C]`, of the channels on the data to fit: the diagonal of their covariance.
        groups: channels of each group, in the order of the channels.

    Returns:
        `float64 [C]`, constant within a group.

    Raises:
        UserError: a group does not vary at all, or the groups are not all of the channels.
    """
    if sum(groups) != len(variances):
        raise UserError(f"the backbones of a fusion have {list(groups)} channels, and the features {len(variances)}")
    totals = [float(part.sum()) for part in np.split(variances, np.cumsum(groups)[:-1])]
    if constant := [number for number, total in enumerate(totals, 1) if total <= 0]:
        raise UserError(f"the features of backbone {constant[0]} of the fusion are the same everywhere: leave it out")
    return np.repeat([1 / np.sqrt(total) for total in totals], groups)
