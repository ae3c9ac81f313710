"""Linear readers of layouts: of the class of a cell, and of the change that an image has undergone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from augment.metrics import confusion_matrix, mean_iou
from augment.stride import STRIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNLABELLED = -1
# Of the squared weights in the loss of the probe, and of the squared coefficients in the regression, per sample.
PROBE_DECAY, RIDGE = 1e-4, 1e-3


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
            value = value + PROBE_DECAY * self.weight.square().sum()
            value.backward()
            return value

        solver.step(loss)

    @torch.no_grad()
    def classes(self, layouts: NDArray[np.floating]) -> NDArray[np.int64]:
        """The class `int64 [N]` that the probe reads off each row of `layouts [N, K]`."""
        inputs = torch.from_numpy(layouts).float()
        found: NDArray[np.int64] = (inputs @ self.weight.T + self.bias).argmax(dim=1).numpy()
        return found

    def miou(self, layouts: NDArray[np.floating], classes: NDArray[np.int64]) -> float:
        """Mean IoU (0..1) of the classes that the probe reads off `layouts [N, K]`; rows of class -1 do not count.

        The mean is over the classes that occur.
        """
        known = classes != UNLABELLED
        found = self.classes(layouts[known])
        confusion = confusion_matrix(classes[known], found, len(self.weight), ignore_index=UNLABELLED)
        occurring = confusion.sum(axis=1) > 0
        return float(mean_iou(confusion)[1][occurring].mean())


def explained_share(
    inputs: NDArray[np.floating],
    targets: NDArray[np.floating],
    new_inputs: NDArray[np.floating],
    new_targets: NDArray[np.floating],
) -> NDArray[np.float64]:
    """How much of new targets a linear regression reads off new inputs: R^2 of each target, at least 0.

    Args:
        inputs, targets: to fit on, `float [N, K]` and `float [N, T]`.
        new_inputs, new_targets: to measure on, `float [M, K]` and `float [M, T]`.

    Returns:
        `float64 [T]` in 0..1; 0 where a reader does worse than the mean of the targets, or where these are all equal.
    """
    centre, mean = inputs.mean(axis=0, dtype=np.float64), targets.mean(axis=0)
    centred = inputs - centre
    gram = centred.T @ centred + RIDGE * len(inputs) * np.eye(inputs.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (targets - mean))
    errors = ((new_targets - mean - (new_inputs - centre) @ weights) ** 2).sum(axis=0)
    spread = ((new_targets - new_targets.mean(axis=0)) ** 2).sum(axis=0)
    shares: NDArray[np.float64] = 1 - np.divide(errors, spread, out=np.ones_like(spread), where=spread > 0)
    return shares.clip(0, 1)
