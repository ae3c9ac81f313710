"""How well a prediction agrees with a label, and how much images differ from one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def confusion_matrix(
    label: NDArray[np.integer],
    prediction: NDArray[np.integer],
    num_classes: int,
    ignore_index: int = 255,
) -> NDArray[np.int64]:
    """Count pixels by true class (row) and predicted class (column).

    Args:
        label: true train ids, any shape, `0..num_classes - 1` or `ignore_index`.
        prediction: predicted train ids of the same shape, `0..num_classes - 1` wherever the label is not
            ignored.
        num_classes: number of classes C.
        ignore_index: label id of pixels that do not count.

    Returns:
        `int64 [C, C]`; matrices of several images add up.

    Raises:
        ValueError: the shapes differ, or an id that counts is outside `0..num_classes - 1`.
    """
    if label.shape != prediction.shape:
        raise ValueError(f"label has shape {label.shape} but prediction has {prediction.shape}")
    counted = label != ignore_index
    true, predicted = label[counted].astype(np.int64), prediction[counted].astype(np.int64)
    for name, ids in (("label", true), ("prediction", predicted)):
        if ids.size and not 0 <= ids.min() <= ids.max() < num_classes:
            raise ValueError(f"{name} ids {ids.min()}..{ids.max()} are outside 0..{num_classes - 1}")
    cells = np.bincount(true * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


def mean_iou(confusion: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """Intersection over union of a confusion matrix, as mean and by class.

    Args:
        confusion: `int64 [C, C]`, true class by row.

    Returns:
        The mean over the classes present in label or prediction (NaN if none is), and `float64 [C]`
        with nan for absent classes; all in 0..1.
    """
    intersection = np.diagonal(confusion).astype(np.float64)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - intersection
    present = union > 0
    per_class = np.full(len(confusion), np.nan)
    per_class[present] = intersection[present] / union[present]
    return (float(per_class[present].mean()) if present.any() else float("nan")), per_class


def pairwise_difference(images: NDArray[np.uint8]) -> float:
    """Mean absolute difference in pixel value between every two of several images.

    Args:
        images: `uint8 [N, H, W, 3]` with N >= 2.

    Returns:
        Mean over all pairs, pixels and channels, in 0..1 of the value range.

    Raises:
        ValueError: there are fewer than two images.
    """
    count = len(images)
    if count < 2:
        raise ValueError(f"a pairwise difference needs at least 2 images, got {count}")
    # Sorted per pixel, the i-th smallest of N values is subtracted N-1-i times and added i times over all
    # pairs.
    weights = 2.0 * np.arange(count) - (count - 1)
    ordered = np.sort(images.reshape(count, -1), axis=0).astype(np.float64)
    pairs = count * (count - 1) / 2
    return float((weights @ ordered).mean() / pairs / 255.0)
