"""How hard labels are to segment, and how many images to paint of each: fewer of easy ones, more of hard ones.

The hardness of a label is the mean, over its pixels, of the usual loss of their class, as in Yang et al., *FreeMask:
Synthetic Images with Dense Annotations Make Stronger Segmentation Models*, NeurIPS 2023. It says which classes a scene
has, and needs no loss of the image itself, which a segmenter that has learned from it could not give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def hardness_of(pixels: NDArray[np.integer], losses: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean usual loss of the pixels of each label: `float64 [N]` in nats, NaN where nothing is labelled.

    Args:
        pixels: number of pixels of each class in each label, `[N, C]`.
        losses: usual loss of each class in nats, `[C]`; NaN for an unknown one, which counts as the hardest.

    Raises:
        ValueError: no class has a known loss.
    """
    known = losses[~np.isnan(losses)]
    if not len(known):
        raise ValueError("no class has a known loss")
    filled = np.where(np.isnan(losses), known.max(), losses)
    count = pixels.sum(axis=1)
    return np.where(count > 0, pixels @ filled / np.maximum(count, 1), np.nan)


def images_by_hardness(hardness: Sequence[float], fewest: int, most: int, mean: int) -> list[int]:
    """How many images to paint of each source: between `fewest` and `most`, never more of an easier one.

    The number rises with the rank of the hardness as `fewest + (most - fewest) q^p`, q in 0..1, whose mean over all
    ranks is `mean` for p = (most - mean) / (mean - fewest); p = 1, the ramp of FreeMask, if that is half way. Of equal
    hardness, later sources are taken as harder.

    Args:
        hardness: of each source, in any unit; not NaN.
        fewest, most: bounds of the numbers.
        mean: `fewest < mean < most`.

    Returns:
        The numbers in the order of the sources, whose sum is `mean` times the number of sources.
    """
    count = len(hardness)
    if not count:
        return []
    power = (most - mean) / (mean - fewest)
    edges = np.arange(count + 1) / count
    # The mean of the ramp over the ranks of each source, so that the sum is right however few there are.
    ramp = count * np.diff(fewest * edges + (most - fewest) * edges ** (power + 1) / (power + 1))
    # Rounding errors of a sum must not make one less of what is a whole number.
    numbers = np.floor(np.round(ramp, 9)).astype(np.int64)
    # The rest goes to those next to one more; the stable sort and the order of the ranks keep the numbers ascending.
    rest = mean * count - int(numbers.sum())
    nearest = np.argsort(-np.round(ramp - numbers, 9)[::-1], kind="stable")[:rest]
    numbers[count - 1 - nearest] += 1
    ranked = sorted(range(count), key=lambda index: (hardness[index], index))
    found = dict(zip(ranked, numbers.tolist(), strict=True))
    return [found[index] for index in range(count)]
