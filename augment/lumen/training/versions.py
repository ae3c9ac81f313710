"""The versions of a training image that an adapter is trained on: itself, its mirror image, and crops of it.

Each is encoded on its own. The latents of a mirrored image are not the mirrored latents, nor are the layouts of a crop
the crop of the layouts; see docs/training-cost.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.lumen.options import AdaptOptions

# The name of the image itself among its versions.
WHOLE = ""
MIRROR = "mirror"


def version_names(options: AdaptOptions) -> tuple[str, ...]:
    """The versions of every training image; the first is `WHOLE`."""
    mirrored = (MIRROR,) if options.flip else ()
    return (WHOLE, *mirrored, *(f"crop{number:02d}" for number in range(options.crops)))


def version_of(
    image: NDArray[np.uint8],
    label: NDArray[np.unsignedinteger] | None,
    name: str,
    options: AdaptOptions,
    generator: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.unsignedinteger] | None]:
    """Make a version of an image `uint8 [H, W, 3]` and of its label `[H, W]`, both of the same size as before.

    A crop has the aspect ratio of the image and is enlarged to its size. It is mirrored half of the time if the mirror
    image is trained on too.

    Args:
        image, label: what to cut it from.
        name: one of `version_names`.
        options: sizes of crops.
        generator: source of randomness, unused for versions that are not crops.
    """
    if name == WHOLE:
        return image, label
    height, width = image.shape[:2]
    if name == MIRROR:
        window, mirrored = (slice(0, height), slice(0, width)), True
    else:
        window, mirrored = random_window((height, width), (height, width), options.smallest_crop, generator)
        mirrored = mirrored and options.flip
    cut = cut_out(image, window, (height, width), mirrored=mirrored)
    if label is None:
        return cut, None
    return cut, _cut_label(label, window, (height, width), mirrored=mirrored)


def random_window(
    size: tuple[int, int], target: tuple[int, int], smallest: float, generator: np.random.Generator
) -> tuple[tuple[slice, slice], bool]:
    """Choose a window with the target's aspect ratio, and whether to mirror it, half of the time.

    Args:
        size: height and width of the image in pixels.
        target: height and width that the window is resized to.
        smallest: smallest window, as a share (0..1) of the largest one that fits.
        generator: source of randomness.

    Returns:
        Its rows and columns, and whether to mirror it.
    """
    scale = min(size[0] / target[0], size[1] / target[1]) * generator.uniform(smallest, 1.0)
    rows, columns = round(target[0] * scale), round(target[1] * scale)
    top = int(generator.integers(size[0] - rows + 1))
    left = int(generator.integers(size[1] - columns + 1))
    return (slice(top, top + rows), slice(left, left + columns)), bool(generator.random() < 0.5)


def cut_out(
    image: NDArray[np.uint8], window: tuple[slice, slice], target: tuple[int, int], *, mirrored: bool
) -> NDArray[np.uint8]:
    """A window of an image `uint8 [H, W, 3]`, resized to the height and width of the target."""
    part = image[window]
    if mirrored:
        part = part[:, ::-1]
    if part.shape[:2] == target:
        return np.ascontiguousarray(part)
    method = cv2.INTER_AREA if part.shape[0] >= target[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(part), target[::-1], interpolation=method), np.uint8)


def _cut_label(
    label: NDArray[np.unsignedinteger], window: tuple[slice, slice], target: tuple[int, int], *, mirrored: bool
) -> NDArray[np.unsignedinteger]:
    part = label[window]
    if mirrored:
        part = part[:, ::-1]
    return np.asarray(
        cv2.resize(np.ascontiguousarray(part), target[::-1], interpolation=cv2.INTER_NEAREST_EXACT), label.dtype
    )
