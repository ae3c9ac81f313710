"""TIFF files that Pillow does not read, reads wrongly, or reduces to the upper 8 bits."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from itertools import islice

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipeline.datasets.files.opencv import decoded_channels
from pipeline.datasets.record import RecordError, Role

# Pillow reads no pixels of the last one.
_BIG_ENDIAN_BIG_TIFF = b"MM\0+"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", _BIG_ENDIAN_BIG_TIFF)
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _INKS = 0, 1, 2, 5
_CONTIGUOUS, _SEPARATE = 1, 2
# No compression, and both numbers of deflate: tifffile decodes these without other libraries.
_PLAIN = (1, 8, 32946)
# LZW and PackBits: OpenCV's build of libtiff decodes these in 16 bits.
_OF_OPENCV = (5, 32773)
# Kinds of JPEG, JPEG 2000, LERC, WebP and JPEG XL: these may change values, and no tag says whether they did.
_LOSSY = (6, 7, 34892, 34712, 33003, 33004, 33005, 34887, 34927, 50001, 34933, 34934, 50002)
# Bits of a tag: the page is a smaller copy of another, or a mask of one.
_SUBORDINATE = 0b101
_ORIENTATION, _MAX_SAMPLE_VALUE = 274, 281
# Number of pages that are checked for a second image.
_MOST_PAGES = 64
_NAMES = {_SIGNED: "signed integers", _FLOAT: "floating-point values"}

# It logs oddities such as unknown tags; faults that keep a file from being read raise errors.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class TiffPage:
    """The first page of a file, as its tags describe it.

    ``orientation`` is a number of EXIF. ``stated_bits`` is the number of used bits in 16-bit samples if the file
    states it, as packed samples or by a largest value such as 4095. ``pages`` counts full images among the first pages.
    """

    page: tifffile.TiffPage
    pages: int
    orientation: int
    stated_bits: int | None

    @classmethod
    def of(cls, data: bytes) -> TiffPage | None:
        """The first page of a TIFF file; None for another file, and if its tags cannot be read."""
        if not data.startswith(TIFF):
            return None
        try:
            file = tifffile.TiffFile(io.BytesIO(data))
            first, *others = (_of(page) for page in islice(file.pages, _MOST_PAGES))
            alike = [page for page in others if not page.subfiletype & _SUBORDINATE and _area(page) >= _area(first)]
            orientation = first.tags.get(_ORIENTATION)
            numbers = (first.imagewidth, first.imagelength, first.bitspersample, first.samplesperpixel)
            if not all(isinstance(number, int) and number > 0 for number in numbers):
                return None
            return cls(first, 1 + len(alike), int(orientation.value) if orientation else 1, _stated_bits(first))
        # Pillow opens every file and reports the fault.
        except (tifffile.TiffFileError, ValueError, IndexError, KeyError, TypeError, AttributeError):
            return None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.page.imagewidth, self.page.imagelength

    @property
    def decoded_bytes(self) -> int:
        """Bytes of its samples in memory."""
        return _area(self.page) * self.page.samplesperpixel * -(-self.page.bitspersample // 8)

    @property
    def is_deep(self) -> bool:
        """Whether it has colours of 16 bits; Pillow keeps only the upper 8."""
        return self.page.bitspersample == 16 and self.page.samplesperpixel > 2

    @property
    def is_inverted(self) -> bool:
        """Whether 0 is white in grey values of 16 bits; Pillow does not invert these."""
        return self.page.photometric == _WHITE_IS_ZERO and self.page.bitspersample > 8

    def check(self, path: str, role: Role) -> None:
        """Raise RecordError for negative or fractional samples, bands that cannot be decoded, and several images.

        For a label also for lossy compression.
        """
        page = self.page
        if role == "label" and page.compression in _LOSSY:
            raise RecordError(
                f"lossy label: {path} is TIFF with the compression {self._compression}, which changes ids: expected "
                "none, LZW, PackBits or deflate"
            )
        if self._is_banded and page.planarconfig == _SEPARATE and not self._is_plain:
            # Pillow reads only the first band.
            raise RecordError(f"unsupported {role}: {path} has {self.describe()}: save it with deflate or uncompressed")
        if page.sampleformat != _UNSIGNED and (page.sampleformat != _SIGNED or page.bitspersample == 8):
            what = _NAMES.get(page.sampleformat, f"samples of format {page.sampleformat}")
            raise RecordError(f"wrong {role} mode: {path} holds {what}: expected 8 or 16 bits a channel, from 0")
        if self.pages > 1:
            raise RecordError(f"several pages: {path} holds {self.pages} images: expected one a file")

    @property
    def _is_banded(self) -> bool:
        """Whether it has several bands marked as grey, as mapping tools store colours."""
        return self.page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and self.page.samplesperpixel > 1

    @property
    def _is_plain(self) -> bool:
        """Whether tifffile decodes it without other libraries."""
        return self.page.compression in _PLAIN and self.page.bitspersample in (8, 16)

    @property
    def _compression(self) -> str:
        return str(getattr(self.page.compression, "name", self.page.compression))

    def channels(self, data: bytes) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """Samples [H, W, C] that Pillow does not read, or not in full depth; None for every other file.

        The C channels are grey or RGB and then any others, or the inks of CMYK.
        """
        page = self.page
        banded = self._is_banded and page.photometric == _BLACK_IS_ZERO
        coloured = self.is_deep and page.photometric in (_RGB, _INKS)
        foreign = data.startswith(_BIG_ENDIAN_BIG_TIFF) and page.photometric in (_BLACK_IS_ZERO, _RGB)
        if page.bitspersample not in (8, 16) or not (banded or coloured or foreign):
            return None
        if self._is_plain:
            pixels = page.asarray()
            pixels = np.ascontiguousarray(np.moveaxis(pixels, 0, -1)) if page.planarconfig == _SEPARATE else pixels
            pixels = pixels[..., None] if page.samplesperpixel == 1 else pixels
            if pixels.shape != (page.imagelength, page.imagewidth, page.samplesperpixel):
                raise ValueError(f"its pixels have the shape {pixels.shape}")
            return pixels
        decodes = page.compression in _OF_OPENCV and page.planarconfig == _CONTIGUOUS
        if decodes and page.photometric == _RGB and page.samplesperpixel in (3, 4):
            return decoded_channels(data)
        return None

    @property
    def has_inks(self) -> bool:
        """Whether channels are cyan, magenta, yellow and black."""
        return self.page.photometric == _INKS

    def describe(self) -> str:
        """Number, type and compression of the channels."""
        page = self.page
        kind = _NAMES.get(page.sampleformat, "unsigned integers")
        planes = " in separate planes" if page.planarconfig == _SEPARATE else ""
        layout = f"{kind}{planes}, compression {self._compression}"
        return f"{page.samplesperpixel} channels of {page.bitspersample} bits ({layout})"


def unsupported(data: bytes) -> str | None:
    """Describe the channels of a file that cannot be read; None if its tags cannot be read either."""
    page = TiffPage.of(data)
    return page.describe() if page else None


def _of(page: tifffile.TiffPage | tifffile.TiffFrame) -> tifffile.TiffPage:
    return page if isinstance(page, tifffile.TiffPage) else page.aspage()


def _stated_bits(page: tifffile.TiffPage) -> int | None:
    if 8 < page.bitspersample < 16:
        return page.bitspersample
    tag = page.tags.get(_MAX_SAMPLE_VALUE)
    largest = max(int(value) for value in np.atleast_1d(tag.value)) if tag else 0
    return largest.bit_length() if 255 < largest < 65535 and largest & (largest + 1) == 0 else None


def _area(page: tifffile.TiffPage) -> int:
    return page.imagewidth * page.imagelength
