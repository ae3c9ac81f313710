"""Painter's order: the order in which solids are drawn, back to front."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SLACK = 1e-3


def painters_order(
    extents: Sequence[tuple[float, float, float, float]], boxes: NDArray[np.float32], camera_u: float
) -> list[int]:
    """Indices of solids from back to front.

    `extents` are (u0, u1, s0, s1) in street coordinates, `boxes` [N,4] their bounds (x0, y0, x1, y1) in the
    image. If two solids overlap in the image, the one behind a separating line of the street plan comes first.
    If lines of both directions separate them, the line across the street decides, because it stays straight.
    """
    count = len(extents)
    if count == 0:
        return []
    u0, u1, s0, s1 = np.array(extents, np.float32).T
    meets = (boxes[:, None, 0] < boxes[None, :, 2]) & (boxes[None, :, 0] < boxes[:, None, 2])
    meets &= (boxes[:, None, 1] < boxes[None, :, 3]) & (boxes[None, :, 1] < boxes[:, None, 3])
    behind = s0[:, None] >= s1[None, :] - _SLACK
    left = u1[:, None] <= u0[None, :] + _SLACK
    gap = 0.5 * (u1[:, None] + u0[None, :])
    outside = (left & (camera_u > gap)) | (left.T & (camera_u < gap.T))
    inside = outside.T
    middle = s0 + s1
    farther = (middle[:, None] > middle[None, :]) & ~left & ~left.T
    level = ~(behind | behind.T)
    before = meets & (behind | (level & (outside | (farther & ~inside))))
    before &= ~(before.T & (middle[:, None] < middle[None, :]))
    np.fill_diagonal(before, False)
    waiting = before.sum(axis=0)
    rank = middle.copy()
    order: list[int] = []
    for _ in range(count):
        free = np.where(waiting == 0, rank, -np.inf)
        best = int(np.argmax(free))
        if free[best] == -np.inf:
            best = int(np.argmax(rank))
        order.append(best)
        rank[best] = -np.inf
        waiting -= before[best]
    return order
