"""Batches of images in several bases at once, as they are and under random changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from augment.layouts.known_changes import random_change
from augment.layouts.leaks import LeakMoments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from augment.layouts.basis import LayoutBasis

    Images = NDArray[np.uint8]
    Layouts = NDArray[np.float16]
    # Images `uint8 [B, H, W, 3]`, classes of their cells `int64 [B, h, w]` with -1 for none, and seeds of the changes.
    Batch = tuple[Images, NDArray[np.int64], Sequence[int]]


@dataclass(frozen=True)
class Encoder:
    """Encodes images in several bases at once.

    Attributes:
        encode: gives features `float [B, C, h, w]` of RGB images `uint8 [B, H, W, 3]`.
        bases: by name.
    """

    encode: Callable[[Images], torch.Tensor]
    bases: Mapping[str, LayoutBasis]

    def features(self, images: Images) -> dict[bool, torch.Tensor]:
        """The features of the images as they are (False) and standardised (True), whichever the bases are of."""
        preparing = {basis.standardized: basis for basis in self.bases.values()}
        return {flag: self.encode(basis.prepare(images)) for flag, basis in preparing.items()}

    def projected(self, features: Mapping[bool, torch.Tensor]) -> dict[str, Layouts]:
        """The layouts `float16 [B, K, h, w]` in each basis, of what `features` gives."""
        return {
            name: basis.project(features[basis.standardized]).half().cpu().numpy() for name, basis in self.bases.items()
        }

    def layouts(self, images: Images) -> dict[str, Layouts]:
        """The layouts `float16 [B, K, h, w]` of images in each basis."""
        return self.projected(self.features(images))

    def leaks(self, images: Images, seeds: Sequence[int]) -> dict[str, LeakMoments]:
        """In each basis, the moments of the layouts of the images under random changes."""
        changed = [random_change(*each) for each in zip(images, seeds, strict=True)]
        strengths = np.stack([strength for _, strength in changed])
        layouts = self.layouts(np.stack([image for image, _ in changed]))
        return {name: LeakMoments.of(found, strengths) for name, found in layouts.items()}


def cells_of(layouts: Layouts) -> Layouts:
    """The cells of layouts `float16 [N, K, h, w]` one after the other: `[N * h * w, K]`."""
    return layouts.transpose(0, 2, 3, 1).reshape(-1, layouts.shape[1])
