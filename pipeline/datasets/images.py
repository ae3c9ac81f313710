"""Image and label files as arrays, whatever their mode."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.datasets.base import Frame, RecordError, Size
from pipeline.datasets.decoding import LOSSLESS_FORMATS, opened
from pipeline.datasets.tree import Tree

_SIXTEEN_BIT = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_INDEXED = ("1", "L", "P", *_SIXTEEN_BIT)
_COLOURED = ("RGB", "RGBA", "P")
_SIXTEEN_BIT_MAX = 65535
# The tag that says how the camera was held, and its values for the four ways that exchange height and width.
_ORIENTATION, _UPRIGHT, _ON_THEIR_SIDE = 0x0112, 1, (5, 6, 7, 8)
_REDUCTIONS = (8, 4, 2)
# Bit depth and colour type in a PNG's header, and by how much grey values of so few bits come out too large.
_PNG_KIND = slice(24, 26)
_SPREAD = {bytes((2, 0)): 85, bytes((4, 0)): 17}

TrainIds = TypeVar("TrainIds", NDArray[np.uint8], NDArray[np.uint16])


def read_image(tree: Tree, path: str) -> NDArray[np.uint8]:
    """Read an image as it is meant to be seen: RGB uint8 [H, W, 3], upright.

    Grey, palette, CMYK and 16-bit files are converted, EXIF orientation is applied, transparency is dropped.
    Raises RecordError naming a file that cannot be read.
    """
    return read_frame(tree, path).image


def read_frame(tree: Tree, path: str, at_least: Size | None = None) -> Frame:
    """Read an image as ``read_image`` does, as a frame without annotations.

    A JPEG is decoded at the smallest of 1/2, 1/4 and 1/8 of its size that is ``at_least`` so high and wide, as it is
    seen upright; libjpeg then leaves the finer frequencies out. Raises RecordError naming a file that cannot be read.
    """
    where = tree.at(path)
    with opened(tree.read(path, "image"), where, "image") as file:
        orientation = file.getexif().get(_ORIENTATION, _UPRIGHT)
        turned = orientation in _ON_THEIR_SIDE
        width, height = reversed(file.size) if turned else file.size
        # An image that will be turned would have the narrower pixels of a last column at the wrong end.
        whole = orientation != _UPRIGHT
        reduction = _reduce(file, at_least[::-1] if turned else at_least, whole) if at_least else 1
        # In place, and converted only where need be: a copy of a large photograph costs a tenth of decoding it.
        ImageOps.exif_transpose(file, in_place=True)
        image: Image.Image = file
        if image.mode in _SIXTEEN_BIT:
            image = Image.fromarray(_to_eight_bits(np.asarray(image), where))
        elif image.mode == "F":
            raise RecordError(f"wrong image mode: {where} holds floating-point values: expected 8 or 16 bits a channel")
        pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    return Frame(pixels, size=(height, width), reduction=reduction) if reduction > 1 else Frame(pixels)


def read_label_ids(tree: Tree, path: str) -> NDArray[np.uint8 | np.uint16]:
    """Read the class index of every pixel, uint8 or uint16 [H, W], exactly as stored.

    A palette file gives its indices. Raises RecordError for a file that cannot be read, holds colours, or is
    compressed with loss.
    """
    where, data = tree.at(path), tree.read(path, "label")
    with opened(data, where, "label") as file:
        _require_lossless(file, where)
        if file.mode not in _INDEXED:
            raise RecordError(
                f"wrong label mode: {where} has mode {file.mode}: expected one channel of class indices, not colours"
            )
        ids = np.array(file)
    if ids.dtype == bool:
        return ids.astype(np.uint8)
    if ids.dtype == np.uint8:
        # Pillow spreads grey of few bits over the whole range.
        return ids // _SPREAD.get(data[_PNG_KIND], 1) if file.format == "PNG" else ids
    if ids.min() < 0 or ids.max() > _SIXTEEN_BIT_MAX:
        raise RecordError(
            f"label ids out of range: {where} has {ids.min()}..{ids.max()}: expected 0..{_SIXTEEN_BIT_MAX}"
        )
    return ids.astype(np.uint16)


def read_label_colors(tree: Tree, path: str) -> NDArray[np.uint8]:
    """Read a label whose classes are colours, RGB uint8 [H, W, 3], exactly as stored; a palette file gives its colours.

    Raises RecordError for a file that cannot be read, has no colours, or is compressed with loss.
    """
    return _read_channels(tree, path, _COLOURED, "RGB", "8-bit colours")


def read_label_bytes(tree: Tree, path: str) -> NDArray[np.uint8]:
    """Read a label whose pixels are four bytes, saved as RGBA, uint8 [H, W, 4], exactly as stored.

    Raises RecordError for a file that cannot be read, has other channels, or is compressed with loss.
    """
    return _read_channels(tree, path, ("RGBA",), "RGBA", "the four channels RGBA")


def map_ids(ids: NDArray[np.uint8 | np.uint16], table: TrainIds, known: NDArray[np.bool_], where: str) -> TrainIds:
    """Translate ids [H, W] to train ids by ``table`` [N] for the ids below N that ``known`` [N] marks.

    Raises RecordError naming the file, every id that is not known, and how many pixels have one.
    """
    # Counting is several times faster than the sorting of np.unique.
    counts = np.bincount(ids.ravel())
    present = np.flatnonzero(counts)
    strange = np.array([value >= len(known) or not known[value] for value in present])
    if strange.any():
        raise RecordError(
            f"unknown label id: {where} has ids {_some(present[strange])} ({counts[present[strange]].sum()} pixels): "
            f"expected {_ranges(np.flatnonzero(known))}"
        )
    return table[ids]


def _read_channels(tree: Tree, path: str, modes: tuple[str, ...], mode: str, expected: str) -> NDArray[np.uint8]:
    where = tree.at(path)
    with opened(tree.read(path, "label"), where, "label") as file:
        _require_lossless(file, where)
        if file.mode not in modes:
            raise RecordError(f"wrong label mode: {where} has mode {file.mode}: expected {expected}")
        return np.array(file.convert(mode))


def _require_lossless(file: Image.Image, where: str) -> None:
    if file.format not in LOSSLESS_FORMATS:
        raise RecordError(f"lossy label: {where} is {file.format}: ids need {', '.join(LOSSLESS_FORMATS)}")


def _reduce(file: Image.Image, at_least: Size, whole: bool) -> int:
    """Let a JPEG decode at a part of its size, as it lies in the file; returns how many times smaller.

    ``whole`` asks for a part that both sides are a multiple of.
    """
    room = min(file.height // at_least[0], file.width // at_least[1])
    fitting = (factor for factor in _REDUCTIONS if factor <= room)
    reduction = next((n for n in fitting if not whole or file.height % n == file.width % n == 0), 1)
    if file.format != "JPEG" or reduction == 1:
        return 1
    file.draft(None, (file.width // reduction, file.height // reduction))
    return reduction


def _to_eight_bits(values: NDArray[np.generic], where: str) -> NDArray[np.uint8]:
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > _SIXTEEN_BIT_MAX:
        raise RecordError(
            f"image values out of range: {where} holds {wide.min()}..{wide.max()}: expected 8 or 16 bits a channel"
        )
    # 65535 / 255 = 257; half of it rounds to the nearest value.
    return ((wide + 128) // 257).astype(np.uint8)


def _ranges(ids: NDArray[np.intp]) -> str:
    runs = np.split(ids, np.flatnonzero(np.diff(ids) > 1) + 1)
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)


def _some(ids: NDArray[np.intp], limit: int = 8) -> str:
    return str(ids[:limit].tolist()) + (f" and {len(ids) - limit} more" if len(ids) > limit else "")
