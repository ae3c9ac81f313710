"""A linear reader of layouts, of the class of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from augment.metrics import confusion_matrix
from augment.stride import STRIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNLABELLED = -1
# Of the squared weights in the loss.
DECAY = 1e-4


def cell_classes(labels: NDArray[np.unsignedinteger], num_classes: int) -> NDArray[np.int64]:
    """The class that covers most of each cell.

    Args:
        labels: train ids `[B, H, W]`; ids from `num_classes` on are ignored.
        num_classes: number of classes.

    Returns:
        `int64 [B, H / 8, W / 8]`; -1 where no class covers half of the cell or more.
    """
    count, height, width = labels.shape
    cells = labels.reshape(count, height // STRIDE, STRIDE, width // STRIDE, STRIDE)
    covered = np.stack([(cells == each).sum(axis=(2, 4)) for each in range(num_classes)], axis=-1)
    classes = covered.argmax(axis=-1).astype(np.int64)
    classes[2 * covered.max(axis=-1) < STRIDE**2] = UNLABELLED
    return classes


class LinearProbe:
    """Multinomial logistic regression of the class of a cell on its layout."""

    def __init__(self, layouts: NDArray[np.floating], classes: NDArray[np.int64], num_classes: int) -> None:
        """Fit the probe, by L-BFGS from zero weights.

        Args:
            layouts: `float [N, K]`, of about unit variance.
            classes: `int64 [N]`; rows of class -1 are left out, and one row or more is not.
            num_classes: number of classes.
        """
        known = classes != UNLABELLED
        inputs = torch.from_numpy(layouts[known]).float()
        targets = torch.from_numpy(classes[known])
        self.weight = torch.zeros(num_classes, inputs.shape[1], requires_grad=True)
        self.bias = torch.zeros(num_classes, requires_grad=True)
        solver = torch.optim.LBFGS(
            [self.weight, self.bias], max_iter=100, tolerance_change=1e-6, line_search_fn="strong_wolfe"
        )

        def loss() -> torch.Tensor:
            solver.zero_grad()
            value = F.cross_entropy(inputs @ self.weight.T + self.bias, targets)
            value = value + DECAY * self.weight.square().sum()
            value.backward()
            return value

        solver.step(loss)
        self.weight, self.bias = self.weight.detach(), self.bias.detach()

    @torch.no_grad()
    def classes(self, layouts: NDArray[np.floating]) -> NDArray[np.int64]:
        """The class `int64 [N]` that the probe reads off each row of `layouts [N, K]`."""
        inputs = torch.from_numpy(layouts).float()
        found: NDArray[np.int64] = (inputs @ self.weight.T + self.bias).argmax(dim=1).numpy()
        return found

    def counts(self, layouts: NDArray[np.floating], classes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count what the probe reads off `layouts [N, K]`; rows of class -1 do not count.

        Returns:
            `int64 [3, num_classes]`: rows that are of a class and read as it, that are of it, that are read as it.
            Counts of several sets add up.
        """
        known = classes != UNLABELLED
        found = self.classes(layouts[known])
        confusion = confusion_matrix(classes[known], found, len(self.weight), ignore_index=UNLABELLED)
        return np.stack([np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)])

    def miou(self, layouts: NDArray[np.floating], classes: NDArray[np.int64]) -> float:
        """Mean IoU (0..1) of the classes that the probe reads off `layouts [N, K]`; see `miou_of`."""
        return miou_of(self.counts(layouts, classes))


def miou_of(counts: NDArray[np.int64]) -> float:
    """Mean IoU (0..1) over the classes that occur, of the counts of `LinearProbe.counts`; one class or more occurs."""
    right, true, read = counts[:, counts[1] > 0]
    return float((right / (true + read - right)).mean())
