"""Colours for classes that readers can distinguish, with normal and with red-green blind vision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pipeline.taxonomies import Taxonomy

# More classes cannot be distinguished by colour in any palette.
MOST_CLASSES = 40
_LEVELS = np.linspace(0, 255, 9).round().astype(np.uint8)
# Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color vision deficiency",
# IEEE TVCG 15(6), severity 1.0: for linear RGB.
_VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def readable(taxonomy: Taxonomy, occurring: Sequence[int]) -> Taxonomy:
    """The taxonomy with colours that are far apart for the classes that occur, each near to its own colour.

    Args:
        taxonomy: of the labels.
        occurring: train ids of classes that are shown; with more than `MOST_CLASSES`, no colour changes.
    """
    if not occurring or len(occurring) > MOST_CLASSES:
        return taxonomy
    colours = distinct_colours(len(occurring))
    own = np.array([taxonomy.palette[train_id] for train_id in occurring], np.uint8)
    # Black stands for ignored pixels, and is not among them.
    cost = np.linalg.norm(_lab(own)[:, None] - _lab(colours)[None], axis=-1)
    rows, columns = linear_sum_assignment(cost)
    palette = list(taxonomy.palette)
    for row, column in zip(rows, columns, strict=True):
        red, green, blue = map(int, colours[column])
        palette[occurring[row]] = (red, green, blue)
    return replace(taxonomy, palette=tuple(palette))


def distinct_colours(count: int) -> NDArray[np.uint8]:
    """RGB colours `uint8 [count, 3]`, each as far from black, white and the others as it can be.

    Each next colour is the one with the greatest distance to the nearest one before (Gonzalez 1985, Theoretical
    Computer Science 38:293); distances are those of CIELAB, the least over three kinds of vision.
    """
    candidates = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij"), axis=-1).reshape(-1, 3)
    seen = visions(candidates)
    nearest = np.minimum(_distances(seen, 0), _distances(seen, len(candidates) - 1))
    chosen = []
    for _ in range(count):
        best = int(nearest.argmax())
        chosen.append(best)
        nearest = np.minimum(nearest, _distances(seen, best))
    return candidates[chosen]


def visions(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """RGB colours `uint8 [N, 3]` in CIELAB as each kind of vision sees them, `[3, N, 3]`."""
    scaled = colours.astype(np.float64) / 255
    # The transfer function of sRGB, IEC 61966-2-1.
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    found = []
    for matrix in _VISIONS.values():
        seen = np.clip(linear @ matrix.T, 0, 1)
        encoded = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
        found.append(_lab(encoded))
    return np.stack(found)


def _lab(colours: NDArray[np.generic]) -> NDArray[np.float64]:
    scaled = colours.astype(np.float32) / (255 if colours.dtype == np.uint8 else 1)
    return cv2.cvtColor(scaled[None], cv2.COLOR_RGB2LAB)[0].astype(np.float64)


def _distances(seen: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    """Distance of each colour to one of them, the least over the kinds of vision."""
    return np.linalg.norm(seen - seen[:, index : index + 1], axis=-1).min(axis=0)
