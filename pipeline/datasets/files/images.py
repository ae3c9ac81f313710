"""Image and label files of any mode as arrays."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.datasets.files.bit_depth import to_eight_bits
from pipeline.datasets.files.decoding import ORIENTATION, check_tiff, opened
from pipeline.datasets.files.masks import SIXTEEN_BIT_MODES, Mask, decoded_mask, require_even, require_lossless
from pipeline.datasets.files.png import deep_channels, stated_bits
from pipeline.datasets.files.tiff import TiffPage
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.record import Frame, RecordError, Size, one_line

# Values of the EXIF orientation: upright, and those that swap height and width.
_UPRIGHT, _ON_THEIR_SIDE = 1, (5, 6, 7, 8)
_REDUCTIONS = (8, 4, 2)
# Large images are copied in bands, to have them in memory only twice.
_PIXELS_AT_A_TIME = 1 << 22

TrainIds = TypeVar("TrainIds", NDArray[np.uint8], NDArray[np.uint16])


def read_frame(tree: Tree, path: str, at_least: Size | None = None) -> Frame:
    """Read an image as a frame without annotations: RGB uint8 [H, W, 3], upright.

    Grey, palette, CMYK and 16-bit files are converted, EXIF orientation is applied, transparency is dropped. A JPEG is
    decoded at the smallest of 1/2, 1/4 and 1/8 of its size that is no smaller than ``at_least`` (height, width of the
    upright image); libjpeg then skips the higher frequencies. Raises RecordError naming a file that cannot be read.
    """
    where, data = tree.at(path), tree.read(path, "image")
    tiff = TiffPage.of(data)
    if tiff is not None:
        check_tiff(tiff, where, "image", tree.decoding)
        if (channels := _channels_of(tiff, data, where)) is not None:
            bits = tree.decoding.bit_depth or tiff.stated_bits
            image = _turned(_seen(channels, bits, where, tiff.has_inks), tiff.orientation)
            return Frame(_pixels(image))
        if tiff.is_deep and tree.decoding.bit_depth not in (None, 16):
            raise RecordError(f"unsupported image: {where} has {tiff.describe()}: only its upper 8 bits can be read")
    with opened(data, where, "image", tree.decoding) as file:
        orientation = file.getexif().get(ORIENTATION, _UPRIGHT)
        turned = orientation in _ON_THEIR_SIDE
        width, height = reversed(file.size) if turned else file.size
        # Turning an image would put a narrower last column of pixels at the wrong end.
        whole = orientation != _UPRIGHT
        reduction = _reduce(file, at_least[::-1] if turned else at_least, whole) if at_least else 1
        if file.format == "PNG" and (deep := deep_channels(data)) is not None:
            bits = tree.decoding.bit_depth or stated_bits(data, deep)
            image = _turned(_seen(deep, bits, where), orientation)
        else:
            # In place, and converted only if needed: a copy of a large photograph costs a tenth of decoding it.
            ImageOps.exif_transpose(file, in_place=True)
            image = _grey(file, data, tiff, tree.decoding.bit_depth, where) if file.mode in SIXTEEN_BIT_MODES else file
        if image.mode == "F":
            raise RecordError(f"wrong image mode: {where} holds floating-point values: expected 8 or 16 bits a channel")
        pixels = _pixels(image)
    return Frame(pixels, size=(height, width), reduction=reduction) if reduction > 1 else Frame(pixels)


def read_mask(tree: Tree, path: str) -> Mask:
    """Read a label as it is stored: one channel of values, or colours.

    Raises RecordError for a file that cannot be read, is compressed with loss, or has transparent parts.
    """
    return decoded_mask(tree.read(path, "label"), tree.at(path), tree.decoding)


def read_label_ids(tree: Tree, path: str) -> NDArray[np.uint8 | np.uint16]:
    """Read the class index of every pixel, uint8 or uint16 [H, W], exactly as stored.

    A palette file gives its indices, and three equal channels their grey values. Raises RecordError for a file
    that cannot be read, holds colours, or is compressed with loss.
    """
    mask = read_mask(tree, path)
    if mask.values.ndim == 3:
        raise RecordError(
            f"wrong label mode: {tree.at(path)} has mode {mask.mode}: expected one channel of class indices, not "
            "colours"
        )
    return mask.values


def read_label_colors(tree: Tree, path: str) -> NDArray[np.uint8]:
    """Read a label that stores classes as colours, RGB uint8 [H, W, 3], unchanged; a palette file gives its colours.

    Raises RecordError for a file that cannot be read, has no colours or transparent parts, or is compressed with loss.
    """
    return _read_channels(tree, path, ("RGB", "RGBA", "P"), "RGB", "8-bit colours")


def read_label_bytes(tree: Tree, path: str) -> NDArray[np.uint8]:
    """Read a label of four bytes a pixel, saved as RGBA, uint8 [H, W, 4], unchanged.

    Raises RecordError for a file that cannot be read, has other channels, or is compressed with loss.
    """
    return _read_channels(tree, path, ("RGBA",), "RGBA", "the four channels RGBA")


def map_ids(ids: NDArray[np.uint8 | np.uint16], table: TrainIds, known: NDArray[np.bool_], where: str) -> TrainIds:
    """Translate ids [H, W] to train ids by ``table`` [N] for the ids below N that ``known`` [N] marks.

    Raises RecordError naming the file, every unknown id, and the number of pixels that have one.
    """
    counts = count_values(ids)
    present = np.flatnonzero(counts)
    unknown = np.array([value >= len(known) or not known[value] for value in present])
    if unknown.any():
        raise RecordError(
            f"unknown label id: {where} has ids {_some(present[unknown])} ({counts[present[unknown]].sum()} pixels): "
            f"expected {_ranges(np.flatnonzero(known))}"
        )
    return table[ids]


def count_values(ids: NDArray[np.uint8 | np.uint16]) -> NDArray[np.int64]:
    """Number of pixels with each value, int64 [256] for uint8 and [65536] for uint16."""
    counts = np.zeros(np.iinfo(ids.dtype).max + 1, np.int64)
    flat = ids.reshape(-1)
    # Counting is several times faster than np.unique, and takes eight bytes a value.
    for start in range(0, flat.size, _PIXELS_AT_A_TIME):
        counts += np.bincount(flat[start : start + _PIXELS_AT_A_TIME], minlength=len(counts))
    return counts


def _read_channels(tree: Tree, path: str, modes: tuple[str, ...], mode: str, expected: str) -> NDArray[np.uint8]:
    where, data = tree.at(path), tree.read(path, "label")
    tiff = TiffPage.of(data)
    if tiff is not None:
        check_tiff(tiff, where, "label", tree.decoding)
    with opened(data, where, "label", tree.decoding) as file:
        require_lossless(file, where)
        deep = (tiff is not None and tiff.is_deep) or (file.format == "PNG" and deep_channels(data) is not None)
        if file.mode not in modes or deep:
            found = "16 bits a channel" if deep else f"mode {file.mode}"
            raise RecordError(f"wrong label mode: {where} has {found}: expected {expected}")
        pixels = np.array(file.convert(mode))
        if mode == "RGB" and file.mode == "RGBA":
            require_even(np.array(file)[..., 3:], file.mode, where)
        return pixels


def _channels_of(tiff: TiffPage, data: bytes, where: str) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
    try:
        return tiff.channels(data)
    # Decoders raise errors of any type for damaged bytes.
    except Exception as error:
        raise RecordError(f"damaged image: {where}: {one_line(error)}") from error


def _seen(channels: NDArray[np.generic], bits: int | None, where: str, inks: bool = False) -> Image.Image:
    """Samples [H, W, C] as an image: grey for C of 1 or 2, else RGB, or CMYK with ``inks``."""
    colors = 4 if inks else 3 if channels.shape[-1] > 2 else 1
    shown = channels[..., :colors]
    eight = np.asarray(shown) if shown.dtype == np.uint8 else to_eight_bits(shown, bits, where)
    if colors == 1:
        return Image.fromarray(eight[..., 0])
    return Image.fromarray(np.ascontiguousarray(eight), mode="CMYK" if inks else "RGB")


def _grey(file: Image.Image, data: bytes, tiff: TiffPage | None, bit_depth: int | None, where: str) -> Image.Image:
    """A 16-bit grey image in 8 bits."""
    values = np.asarray(file)
    if bit_depth is None and tiff is not None:
        bit_depth = tiff.stated_bits
    elif bit_depth is None and file.format == "PNG":
        bit_depth = stated_bits(data, values)
    grey = to_eight_bits(values, bit_depth, where)
    return Image.fromarray(255 - grey if tiff is not None and tiff.is_inverted else grey)


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    image.getexif()[ORIENTATION] = orientation
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """An image as writable RGB uint8 [H, W, 3]."""
    rows = max(1, _PIXELS_AT_A_TIME // image.width)
    if rows >= image.height:
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        pixels[top : top + rows] = np.asarray(band if band.mode == "RGB" else band.convert("RGB"))
    return pixels


def _reduce(file: Image.Image, at_least: Size, whole: bool) -> int:
    """Make a JPEG decode at a reduced size, no smaller than ``at_least`` in the file; returns the factor.

    With ``whole`` the factor divides both sides.
    """
    room = min(file.height // at_least[0], file.width // at_least[1])
    fitting = (factor for factor in _REDUCTIONS if factor <= room)
    reduction = next((n for n in fitting if not whole or file.height % n == file.width % n == 0), 1)
    if file.format != "JPEG" or reduction == 1:
        return 1
    file.draft(None, (file.width // reduction, file.height // reduction))
    return reduction


def _ranges(ids: NDArray[np.intp]) -> str:
    runs = np.split(ids, np.flatnonzero(np.diff(ids) > 1) + 1)
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)


def _some(ids: NDArray[np.intp], limit: int = 8) -> str:
    return str(ids[:limit].tolist()) + (f" and {len(ids) - limit} more" if len(ids) > limit else "")
