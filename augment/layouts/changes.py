"""Photometric changes of an image: another light, weather, camera or sensor, with everything in the same place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import local
from typing import TYPE_CHECKING, Any

import numpy as np

from augment.layouts.fog import albumentations, random_fog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

# Changes take their random numbers from a generator of their own, which threads must not share.
_of_thread = local()


def photometric_copy(image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Change how an image looks and nothing of what it shows: light, contrast, colour, weather, blur and noise.

    The strengths leave the objects of a street recognisable: a copy that is black holds nothing to compare.

    Args:
        image: RGB, `uint8 [H, W, 3]`.
        seed: 0..2**63 - 1; image and seed decide the copy.

    Returns:
        `uint8 [H, W, 3]`.
    """
    if not hasattr(_of_thread, "changes"):
        _of_thread.changes = _random_changes()
    changes = _of_thread.changes
    # One state for all of them: `set_random_seed` gives each the same numbers, so that they come all together or never.
    changes.set_random_state(np.random.default_rng(seed), Random(seed))
    copy: NDArray[np.uint8] = changes(image=image)["image"]
    return copy


def photometric_copies(
    images: NDArray[np.uint8], seeds: Sequence[Sequence[int]], threads: int = 1
) -> Iterator[NDArray[np.uint8]]:
    """Make V photometric copies of each image of a batch: the first of all images, then the second, and so on.

    Args:
        images: RGB, `uint8 [B, H, W, 3]`, B of 1 or more.
        seeds: B rows of V seeds in 0..2**63 - 1; a copy depends on its image and its seed alone.
        threads: how many copies are made at once, while the caller works on others.

    Yields:
        V times `uint8 [B, H, W, 3]`.
    """
    numbers = range(len(seeds[0]))
    with ThreadPoolExecutor(threads, "copies") as pool:
        copies = [
            [pool.submit(photometric_copy, image, row[number]) for image, row in zip(images, seeds, strict=True)]
            for number in numbers
        ]
        try:
            for of_number in copies:
                yield np.stack([copy.result() for copy in of_number])
        finally:
            # The rest is not made for a caller that has failed.
            pool.shutdown(wait=False, cancel_futures=True)


def _random_changes() -> Any:
    library = albumentations()
    return library.Compose(
        [
            library.OneOf(
                [
                    library.MultiplicativeNoise((0.3, 1.3), p=1),
                    library.RandomBrightnessContrast((-0.2, 0.2), (-0.4, 0.4), p=1),
                ],
                p=0.7,
            ),
            library.RandomGamma((50, 220), p=0.6),
            library.OneOf(
                [
                    library.MultiplicativeNoise((0.65, 1.35), per_channel=True, p=1),
                    library.HueSaturationValue(12, (-80, 40), 0, p=1),
                    library.PlanckianJitter(p=1),
                    library.ToGray(p=1),
                ],
                p=0.7,
            ),
            library.OneOf(
                [
                    random_fog((0.2, 0.6)),
                    library.RandomRain(p=1),
                    library.RandomShadow((0, 0, 1, 1), (1, 3), shadow_intensity_range=(0.3, 0.7), p=1),
                ],
                p=0.35,
            ),
            library.OneOf(
                [
                    library.GaussianBlur(0, (0.5, 1.8), p=1),
                    library.MotionBlur((3, 5), p=1),
                    library.GaussNoise((0.02, 0.08), p=1),
                    library.ISONoise((0.01, 0.05), (0.1, 0.5), p=1),
                ],
                p=0.5,
            ),
        ]
    )
