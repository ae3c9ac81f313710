"""Opening image files of any content; errors begin with the kind of fault."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from PIL import Image, UnidentifiedImageError, features
from pydantic import Field

from augment.options import Options
from pipeline.datasets.files.png import PNG, PngChunks
from pipeline.datasets.files.tiff import TIFF, TiffPage, unsupported
from pipeline.datasets.record import RecordError, Role, one_line

# 8192 x 8192 pixels, or 192 MiB as RGB. A file of a few kilobytes can claim any size.
MAX_PIXELS = 1 << 26
MaxPixels = Annotated[
    int,
    Field(
        ge=1,
        le=1 << 30,
        description="pixels of the largest image or mask that is decoded; larger ones are quarantined",
    ),
]
BitDepth = Annotated[
    int | None,
    Field(
        ge=8,
        le=16,
        description="bits that count in images of 16 bits a channel: 12 reads 4095 as white; null is what the file "
        "states, else 16",
    ),
]

LOSSLESS_FORMATS = ("PNG", "BMP", "TIFF", "GIF")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif")
# Pillow reads many more formats, some by running other programs. Not every build reads AVIF.
FORMATS = (*LOSSLESS_FORMATS, "JPEG", "WEBP", *(("AVIF",) if features.check("avif") else ()))
_READ: dict[Role, str] = {"image": "PNG, JPEG, WebP, AVIF, BMP, TIFF or GIF", "label": "PNG, BMP, TIFF or GIF"}
# EXIF tag of the orientation of the camera.
ORIENTATION = 0x0112
# Phones append a preview or a gain map to a photograph; Pillow reads these as further frames of this format.
_WITH_EXTRAS = "MPO"

_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_SIGNATURES = (PNG, _JPEG, b"RIFF", b"BM", *TIFF, b"GIF8")
_AVIF = (b"ftypavif", b"ftypavis")

# Pillow has one limit for the whole process; `opened` checks each file against max_pixels instead.
Image.MAX_IMAGE_PIXELS = None


class Decoding(Options):
    """How the image files of a dataset are decoded."""

    max_pixels: MaxPixels = MAX_PIXELS
    bit_depth: BitDepth = None

    @property
    def max_bytes(self) -> int:
        """Bytes of the largest file: four channels of 16 bits for every pixel, uncompressed."""
        return 8 * self.max_pixels

    def fingerprint_inputs(self) -> dict[str, int]:
        """Options that change the pixels, for a fingerprint; empty by default."""
        return {} if self.bit_depth is None else {"bit_depth": self.bit_depth}


@contextmanager
def opened(data: bytes, path: str, role: Role, decoding: Decoding) -> Iterator[Image.Image]:
    """Give the image in the bytes of a file; messages name it by ``path``.

    Only PNG is decoded at once, others when their pixels are used. Raises RecordError for any fault of the bytes, also
    for exceptions of Pillow inside the context. The message is one line that starts with the kind of fault and a colon.
    """
    try:
        with _image(data, path, role, decoding) as image:
            if _frames(image) > 1:
                raise RecordError(f"several pages: {path} holds {_frames(image)} images: expected one a file")
            yield image
    except RecordError:
        raise
    except UnidentifiedImageError as error:
        raise _unidentified(data, path, role, error) from error
    # Decoders raise errors of any type for damaged bytes, such as MemoryError and struct.error.
    except Exception as error:
        raise RecordError(f"{_harm(data, error)} {role}: {path}: {one_line(error)}") from error


def check_size(width: int, height: int, path: str, role: Role, decoding: Decoding) -> None:
    """Raise RecordError for an image of more than ``max_pixels``."""
    if width * height > decoding.max_pixels:
        raise RecordError(
            f"bomb-sized {role}: {path} has {width} x {height} = {width * height} pixels, more than "
            f"dataset.max_pixels={decoding.max_pixels}: raise it if the file is sound"
        )


def check_tiff(tiff: TiffPage, path: str, role: Role, decoding: Decoding) -> None:
    """Raise RecordError for a TIFF file that is too large, has negative or fractional samples, or several images."""
    check_size(*tiff.size, path, role, decoding)
    if tiff.decoded_bytes > decoding.max_bytes:
        raise RecordError(
            f"bomb-sized {role}: {path} has {tiff.describe()}, which take {tiff.decoded_bytes} bytes, more than "
            f"8 for each pixel of dataset.max_pixels={decoding.max_pixels}: raise it if the file is sound"
        )
    tiff.check(path, role)


def _image(data: bytes, path: str, role: Role, decoding: Decoding) -> Image.Image:
    if not data.startswith(PNG):
        return _open(data, path, role, decoding)
    chunks = PngChunks.of(data, path, role)
    try:
        image = _open(data, path, role, decoding)
        image.load()
    except RecordError:
        raise
    # Pillow fails on large or damaged texts and colour profiles, though no pixel depends on them.
    except Exception:
        if not chunks.has_ancillary:
            raise
        image = _open(chunks.without_ancillary(), path, role, decoding)
        image.load()
    return image


def _open(data: bytes, path: str, role: Role, decoding: Decoding) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    check_size(image.width, image.height, path, role, decoding)
    return image


def _frames(image: Image.Image) -> int:
    """Number of images in a file, without previews and overviews of a TIFF or a photograph."""
    if image.format in (_WITH_EXTRAS, "TIFF"):
        return 1
    return getattr(image, "n_frames", 1)


def _unidentified(data: bytes, path: str, role: Role, error: Exception) -> RecordError:
    if data.startswith(TIFF) and (why := unsupported(data)):
        return RecordError(f"unsupported {role}: {path} has {why}: expected channels of 8 or 16 bits, grey or RGB")
    if data.startswith(_SIGNATURES):
        return RecordError(f"{_harm(data, error)} {role}: {path}: its header cannot be read")
    return RecordError(f"unidentified {role}: {path} {_beginning(data)}: expected {_READ[role]}")


def _beginning(data: bytes) -> str:
    if data[4:12] in _AVIF:
        return "is AVIF, which this Pillow does not read"
    return f"is {name}" if (name := _other_format(data)) else f"begins with {data[:8]!r}"


def _other_format(data: bytes) -> str | None:
    """The name of a common image format that is not read, recognised by its first bytes."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"):
        return "HEIC"
    known = {b"\0\0\0\x0cjP  ": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000", b"8BPS": "PSD", b"%PDF": "PDF"}
    known |= {b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL", b"v/1\x01": "OpenEXR", b"\x93NUMPY": "NPY"}
    return next((name for start, name in known.items() if data.startswith(start)), None)


def _harm(data: bytes, error: Exception) -> Literal["truncated", "damaged"]:
    cut = "truncated" in str(error).lower()
    if data.startswith(_JPEG):
        cut = not data.rstrip(b"\0").endswith(_JPEG_END)
    elif data.startswith(b"RIFF"):
        cut = len(data) < 8 + int.from_bytes(data[4:8], "little")
    return "truncated" if cut else "damaged"
