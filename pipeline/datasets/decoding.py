"""Opening an image file that may hold anything, and telling by kind what is wrong with it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from PIL import Image, UnidentifiedImageError

from pipeline.datasets.base import RecordError, Role, one_line

# 8192 x 8192, or 192 MiB as RGB. A file of a few kilobytes can claim any size, so it is looked at before decoding.
MAX_PIXELS = 1 << 26
LOSSLESS_FORMATS = ("PNG", "BMP", "TIFF")
# Pillow reads many more, some of them by running other programs.
FORMATS = (*LOSSLESS_FORMATS, "JPEG", "WEBP")
_READ: dict[Role, str] = {"image": "PNG, JPEG, WebP, BMP or TIFF", "label": "PNG, BMP or TIFF"}

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_SIGNATURES = (_PNG, _JPEG, b"RIFF", b"BM", b"II*\0", b"MM\0*")


@contextmanager
def opened(data: bytes, path: str, role: Role) -> Iterator[Image.Image]:
    """Give the image in the bytes of a file, its pixels not decoded yet; ``path`` is what messages call it.

    Raises RecordError for whatever is wrong with the bytes, and for what Pillow raises inside the context. The
    message starts with the kind of fault and a colon, and is one line.
    """
    try:
        if data.startswith(_PNG):
            _check_png(data, path, role)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _bomb(path, role, f"{image.width} x {image.height} pixels")
            yield image
    except RecordError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _bomb(path, role, one_line(error)) from error
    except UnidentifiedImageError as error:
        if not data.startswith(_SIGNATURES):
            raise RecordError(
                f"unidentified {role}: {path} begins with {data[:8]!r}: expected {_READ[role]}"
            ) from error
        raise RecordError(f"{_harm(data, error)} {role}: {path}: its header does not read") from error
    # Decoders meet damaged bytes with errors of any type, MemoryError and struct.error among them.
    except Exception as error:
        raise RecordError(f"{_harm(data, error)} {role}: {path}: {one_line(error)}") from error


def _bomb(path: str, role: Role, size: str) -> RecordError:
    return RecordError(f"bomb-sized {role}: {path} has {size}: at most {MAX_PIXELS} are borne")


def _check_png(data: bytes, path: str, role: Role) -> None:
    # Pillow does not look at the checksums of pixels, so one flipped bit in a label could pass for an id.
    offset, kind = len(_PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", header) if len(header := data[offset : offset + 8]) == 8 else (0, b"")
        body = memoryview(data)[offset + 4 : offset + 8 + length]
        checksum = data[offset + 8 + length : offset + 12 + length]
        if len(checksum) < 4:
            raise RecordError(f"truncated {role}: {path} ends after {len(data)} bytes, in the middle")
        # A small first letter marks a chunk that no pixel depends on.
        if kind[:1].isupper() and zlib.crc32(body) != int.from_bytes(checksum, "big"):
            raise RecordError(f"damaged {role}: {path}: the checksum of its {kind.decode('latin-1')} chunk is wrong")
        offset += 12 + length


def _harm(data: bytes, error: Exception) -> Literal["truncated", "damaged"]:
    cut = "truncated" in str(error).lower()
    if data.startswith(_JPEG):
        cut = not data.rstrip(b"\0").endswith(_JPEG_END)
    elif data.startswith(b"RIFF"):
        cut = len(data) < 8 + int.from_bytes(data[4:8], "little")
    return "truncated" if cut else "damaged"
