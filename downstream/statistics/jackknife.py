"""Intersection over union of a set of images, and what each image contributes to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def class_iou(intersection: NDArray[np.integer], union: NDArray[np.integer]) -> NDArray[np.float64]:
    """Intersection over union of all images together, by class.

    Args:
        intersection: pixels ``[..., N, C]`` of N images and C classes.
        union: the same of label or prediction.

    Returns:
        ``float64 [..., C]`` in 0..1; NaN where the union is empty.
    """
    return _ratio(intersection.sum(axis=-2), union.sum(axis=-2))


def pseudo_values(intersection: NDArray[np.integer], union: NDArray[np.integer]) -> NDArray[np.float64]:
    """Jackknife pseudo-values of the IoU of each class: N times it, less N - 1 times that without one image.

    Their mean over images is the IoU less its bias of order 1 / N; their variance over images, divided by N, estimates
    the variance of the IoU over samples of images (Tukey 1958). Images are left out whole, because their pixels are
    not independent. The estimate is on the safe side: its expectation is not below the variance (Efron and Stein 1981,
    Annals of Statistics 9:586).

    Args:
        intersection: pixels ``[..., N, C]`` of N images and C classes.
        union: the same of label or prediction.

    Returns:
        ``float64 [..., N, C]``; NaN where the union of all images is empty. An image that has the whole union of a
        class leaves nothing to compare with, and gets the IoU itself.
    """
    images = intersection.shape[-2]
    whole = class_iou(intersection, union)[..., None, :]
    without = _ratio(intersection.sum(axis=-2, keepdims=True) - intersection, union.sum(axis=-2, keepdims=True) - union)
    without = np.where(np.isnan(without), whole, without)
    return images * whole - (images - 1) * without


def _ratio(part: NDArray[np.integer], whole: NDArray[np.integer]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
