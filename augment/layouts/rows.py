"""Feature vectors in float64, on the machine or on an accelerator, for sums over them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from augment.errors import NotFinite

# Both have the operations that moments need. The sums of a tensor are computed where it is.
Rows: TypeAlias = "NDArray[np.float64] | torch.Tensor"

# NumPy computes half of a symmetric product, and so beats torch on the CPU. Apple's GPUs have no float64.
ON_HOST = ("cpu", "mps")


def as_rows(features: NDArray[np.floating] | torch.Tensor) -> Rows:
    """The rows of `features [N, C]` in float64, those of a tensor on an accelerator as a tensor there.

    Raises:
        NotFinite: a feature is NaN or infinite.
    """
    rows: Rows
    if isinstance(features, torch.Tensor) and features.device.type not in ON_HOST:
        rows = features.double()
        broken = int((~torch.isfinite(rows)).any(dim=1).sum())
    else:
        rows = np.asarray(features.cpu() if isinstance(features, torch.Tensor) else features, dtype=np.float64)
        broken = int((~np.isfinite(rows)).any(axis=1).sum())
    if broken:
        raise NotFinite(
            f"{broken} of {len(rows)} feature vectors hold NaN or infinite values: the backbone's weights are damaged; "
            "get the model again"
        )
    return rows


def on_host(sums: Any) -> NDArray[np.float64]:
    """Sums over rows as an array."""
    result: NDArray[np.float64] = sums.cpu().numpy() if isinstance(sums, torch.Tensor) else sums
    return result


def rows_of_maps(maps: NDArray[np.floating] | torch.Tensor) -> Rows:
    """The vectors of feature maps `[B, C, h, w]`: those of one map after the other, row by row; see `as_rows`."""
    last = maps.permute(0, 2, 3, 1) if isinstance(maps, torch.Tensor) else maps.transpose(0, 2, 3, 1)
    return as_rows(last.reshape(-1, maps.shape[1]))
