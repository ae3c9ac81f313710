"""The working size, and the one way an image and its label get to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from augment.errors import UserError
from pipeline.datasets.base import Box, Frame

Ids = TypeVar("Ids", NDArray[np.uint8], NDArray[np.uint16], NDArray[np.unsignedinteger])

LATENT_STRIDE = 8


@dataclass(frozen=True)
class Geometry:
    """Height and width in pixels that every sample of a store has.

    Raises UserError unless both are positive multiples of 8, the stride of the latent grid: a strided
    convolution would drop the remainder without a word.
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        for name, size in (("height", self.height), ("width", self.width)):
            if size < LATENT_STRIDE or size % LATENT_STRIDE:
                below = max(size // LATENT_STRIDE, 1) * LATENT_STRIDE
                nearest = below if size <= below else f"{below} or {below + LATENT_STRIDE}"
                raise UserError(
                    f"geometry.{name} is {size}: it must be a multiple of {LATENT_STRIDE}, such as {nearest}"
                )

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), as numpy counts."""
        return self.height, self.width


def resize_image(image: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.uint8]:
    """Resize uint8 [H, W, 3] by a triangle filter that widens as the image shrinks, so nothing aliases.

    Pixel centres are aligned; an image that has the size already is returned with the same values.
    """
    if image.shape[:2] == geometry.shape:
        return image
    resized = Image.fromarray(image).resize((geometry.width, geometry.height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def resize_label(label: Ids, geometry: Geometry) -> Ids:
    """Resize ids [H, W] by reading the source pixel that holds each target pixel's centre."""
    rows = _centres(label.shape[0], geometry.height)
    columns = _centres(label.shape[1], geometry.width)
    return label[rows[:, None], columns]


def _centres(source: int, target: int) -> NDArray[np.intp]:
    # floor((i + 1/2) * source / target), in integers: the same on every machine.
    return (2 * np.arange(target) + 1) * source // (2 * target)


def resize_frame(frame: Frame, geometry: Geometry) -> Frame:
    """Bring an image and its annotations to the working size.

    Raises UserError where an annotation differs in size from the image: they would not belong together pixel by pixel.
    """
    height, width = frame.image.shape[:2]
    for name, annotation in (("label", frame.label), ("instance map", frame.instances)):
        if annotation is not None and annotation.shape != (height, width):
            raise UserError(
                f"the image is {height}x{width} pixels (height x width) but its {name} is "
                f"{annotation.shape[0]}x{annotation.shape[1]}: they must have one size"
            )
    down, across = geometry.height / height, geometry.width / width
    return Frame(
        resize_image(frame.image, geometry),
        None if frame.label is None else resize_label(frame.label, geometry),
        None if frame.instances is None else resize_label(frame.instances, geometry),
        tuple(
            Box(box.category, box.left * across, box.top * down, box.width * across, box.height * down)
            for box in frame.boxes
        ),
    )
