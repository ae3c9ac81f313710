"""The pixels of a label file as they are stored: values of one channel, or colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.datasets.files.decoding import LOSSLESS_FORMATS, Decoding, check_tiff, opened
from pipeline.datasets.files.png import deep_channels, grey_spread, spread_of_bits
from pipeline.datasets.files.tiff import TiffPage
from pipeline.datasets.record import RecordError, one_line

SIXTEEN_BIT_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_ONE_CHANNEL = ("1", "L", "P", *SIXTEEN_BIT_MODES)
# Values of a palette.
PALETTE_MODES = ("P", "PA")
_CHANNELS = ("LA", "PA", "RGB", "RGBA")
_SIXTEEN_BIT_MAX = 65535
# Factors by which writers scale 8-bit colours to 16 bits: 65535 / 255, and a shift by 8 bits.
_SPREADS_16_BIT = (257, 256)

Values = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Mask:
    """The pixels of a label file, exactly as stored.

    ``values`` is uint8 or uint16: [H, W] where the file has one channel, or several that are equal everywhere, else RGB
    [H, W, 3]. ``palette`` uint8 or uint16 [N, 3] is the RGB colour of each value below N, for a palette or equal
    channels, else None. ``mode`` is Pillow's name of the mode of the file.
    """

    values: Values
    mode: str
    palette: Values | None = None


def decoded_mask(data: bytes, where: str, decoding: Decoding) -> Mask:
    """The mask in the bytes of a file; messages name it by ``where``.

    Raises RecordError for bytes that cannot be decoded, lossy formats, transparent parts, and values other than whole
    numbers from 0 to 65535.
    """
    tiff = TiffPage.of(data)
    if tiff is not None:
        check_tiff(tiff, where, "label", decoding)
        if (deep := _deep(tiff, data, where)) is not None:
            return _of_channels(
                _turned(deep, tiff.orientation), f"{deep.shape[-1]} channels of {deep.dtype.itemsize * 8} bits", where
            )
    with opened(data, where, "label", decoding) as file:
        require_lossless(file, where)
        if file.format == "PNG" and (channels := deep_channels(data)) is not None:
            return _of_channels(channels, f"{file.mode} of 16 bits", where)
        if file.mode in _ONE_CHANNEL:
            return _of_one_channel(file, data, where, tiff)
        if file.mode not in _CHANNELS:
            raise RecordError(
                f"wrong label mode: {where} has mode {file.mode}: expected one channel of class indices, or RGB colours"
            )
        if file.mode == "PA":
            return _of_palette(file.getchannel("P"), file)
        return _of_channels(np.array(file), file.mode, where)


def require_lossless(file: Image.Image, where: str) -> None:
    """Raise RecordError for a lossy format, which changes ids."""
    if file.format not in LOSSLESS_FORMATS:
        raise RecordError(f"lossy label: {where} is {file.format}: ids need {', '.join(LOSSLESS_FORMATS)}")


def require_even(alpha: Values, mode: str, where: str) -> None:
    """Raise RecordError unless alpha channels [H, W, 0 or more] are the same everywhere."""
    if alpha.size and (alpha != alpha[0, 0]).any():
        raise RecordError(
            f"wrong label mode: {where} has mode {mode} with an alpha channel of {alpha.min()}..{alpha.max()}: "
            "expected masks without transparent parts"
        )


def _turned(values: Values, orientation: int) -> Values:
    """Pixels [H, W] or [H, W, C] turned upright by EXIF's ``orientation``: [W, H] for 5 to 8."""
    across, down = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    upright = values.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else values
    return upright[:: -1 if down else 1, :: -1 if across else 1].copy()


def _of_one_channel(file: Image.Image, data: bytes, where: str, tiff: TiffPage | None) -> Mask:
    if file.mode == "P":
        return _of_palette(file, file)
    values = np.array(file)
    if values.dtype == bool:
        return Mask(values.astype(np.uint8), file.mode)
    if values.dtype == np.uint8:
        spread = (
            grey_spread(data)
            if file.format == "PNG"
            else 1
            if tiff is None
            else spread_of_bits(tiff.page.bitspersample)
        )
        return Mask(values // spread, file.mode)
    if values.min() < 0 or values.max() > _SIXTEEN_BIT_MAX:
        raise RecordError(
            f"label ids out of range: {where} has {values.min()}..{values.max()}: expected 0..{_SIXTEEN_BIT_MAX}"
        )
    return Mask(values.astype(np.uint16), file.mode)


def _of_palette(indices: Image.Image, file: Image.Image) -> Mask:
    colors = file.getpalette("RGB") or []
    return Mask(np.array(indices), file.mode, np.array(colors, np.uint8).reshape(-1, 3) if colors else None)


def _of_channels(channels: Values, mode: str, where: str) -> Mask:
    """The mask of grey or RGB channels, and then alpha, which is dropped if it is the same everywhere."""
    colors = 3 if channels.shape[-1] > 2 else 1
    require_even(channels[..., colors:], mode, where)
    red = channels[..., 0]
    if colors == 1:
        return Mask(red.copy(), mode)
    if all(np.array_equal(red, channels[..., other]) for other in (1, 2)):
        return Mask(red.copy(), mode, _greys(red))
    return Mask(_eight_bit_colors(channels[..., :3]), mode)


def greys_of(mask: Mask) -> Values:
    """The colour [N, 3] of each value below N in a mask of one channel: from its palette, else the value as grey."""
    if mask.palette is not None:
        return mask.palette
    if mask.mode == "1":
        return np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    return _greys(mask.values)


def _greys(values: Values) -> Values:
    """The grey [N, 3] of each value in equal channels; N is 256, or 65536 for unscaled 16-bit values."""
    count = np.iinfo(values.dtype).max + 1
    if (factor := _spread(values)) > 1:
        greys = np.zeros(count, np.uint8)
        greys[: 256 * factor : factor] = np.arange(256)
    else:
        greys = np.arange(count).astype(values.dtype)
    return np.repeat(greys[:, None], 3, axis=1)


def _eight_bit_colors(colors: Values) -> Values:
    """Colours as uint8 if all are 8-bit colours, unscaled or scaled to 16 bits; else unchanged."""
    if colors.dtype == np.uint8:
        return colors.copy()
    if colors.max() <= 255:
        return colors.astype(np.uint8)
    return (colors // factor).astype(np.uint8) if (factor := _spread(colors)) > 1 else colors.copy()


def _spread(values: Values) -> int:
    """The factor by which 8-bit colours were scaled to 16 bits; 1 if they were not."""
    if values.dtype == np.uint8 or values.max() <= 255:
        return 1
    return next((factor for factor in _SPREADS_16_BIT if not (values % factor).any()), 1)


def _deep(tiff: TiffPage, data: bytes, where: str) -> Values | None:
    try:
        channels = tiff.channels(data)
    # Decoders raise errors of any type for damaged bytes.
    except Exception as error:
        raise RecordError(f"damaged label: {where}: {one_line(error)}") from error
    if channels is None and tiff.is_deep:
        raise RecordError(f"unsupported label: {where} has {tiff.describe()}: save it as PNG")
    return channels
