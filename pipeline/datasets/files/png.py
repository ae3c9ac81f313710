"""What Pillow does not read from PNG files: checksums of pixels, 16-bit samples, and their number of used bits."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.files.opencv import decoded_channels
from pipeline.datasets.record import RecordError, Role

PNG = b"\x89PNG\r\n\x1a\n"
# Bit depth and colour type, in the header that every file begins with.
_DEPTH, _COLOUR_TYPE = 24, 25
_COLOURED, _WITH_ALPHA = 2, 4
# Bits -> factor by which Pillow scales grey values to the whole range.
_SPREAD = {2: 85, 4: 17}
_GREY = 0
# Ancillary chunks that change how the image looks: transparency and orientation.
_KEPT = (b"tRNS", b"eXIf")


@dataclass(frozen=True)
class PngChunks:
    """Kind, start and end of each chunk of a file without damaged pixels."""

    data: bytes
    spans: tuple[tuple[bytes, int, int], ...]

    @classmethod
    def of(cls, data: bytes, path: str, role: Role) -> PngChunks:
        """The chunks of a file; raises RecordError if it is truncated, or a chunk of its pixels is damaged.

        Pillow's decoder ignores the checksums of pixels, so that one flipped bit in a label could pass for an id. Its
        ``verify`` checks them, but also fails for a wrong checksum of a comment.
        """
        spans, offset, kind = [], len(PNG), b""
        while kind != b"IEND":
            length, kind = struct.unpack(">I4s", header) if len(header := data[offset : offset + 8]) == 8 else (0, b"")
            end = offset + 12 + length
            if not kind or len(data) < end:
                raise RecordError(f"truncated {role}: {path} ends after {len(data)} bytes, in the middle")
            if _is_critical(kind) and not _is_sound(data, offset, end):
                raise RecordError(
                    f"damaged {role}: {path}: the checksum of its {kind.decode('latin-1')} chunk is wrong"
                )
            spans.append((kind, offset, end))
            offset = end
        return cls(data, tuple(spans))

    @property
    def has_ancillary(self) -> bool:
        """Whether it has chunks that no pixel depends on."""
        return any(not _is_critical(kind) for kind, _, _ in self.spans)

    def without_ancillary(self) -> bytes:
        """The file with only those ancillary chunks that change how it looks and are not damaged."""
        view = memoryview(self.data)
        kept = (
            view[start:end]
            for kind, start, end in self.spans
            if _is_critical(kind) or (kind in _KEPT and _is_sound(self.data, start, end))
        )
        return b"".join([PNG, *kept])


def _is_critical(kind: bytes) -> bool:
    # A lower-case first letter marks a chunk that decoders may skip.
    return kind[:1].isupper()


def _is_sound(data: bytes, start: int, end: int) -> bool:
    return zlib.crc32(memoryview(data)[start + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")


def grey_spread(data: bytes) -> int:
    """Factor by which Pillow scales up the grey values of a PNG file of 2 or 4 bits; else 1."""
    return spread_of_bits(data[_DEPTH]) if data[_COLOUR_TYPE] == _GREY else 1


def spread_of_bits(bits: int) -> int:
    """Factor by which Pillow scales up grey values of ``bits`` bits."""
    return _SPREAD.get(bits, 1)


def deep_channels(data: bytes) -> NDArray[np.uint16] | None:
    """Colours, or grey with alpha, in 16 bits, uint16 [H, W, C]; Pillow would drop the lower 8 bits.

    C is 2 to 4: grey or RGB, then alpha if the file has it. None for every other file.
    """
    if data[_DEPTH] != 16 or not data[_COLOUR_TYPE] & (_COLOURED | _WITH_ALPHA):
        return None
    channels = decoded_channels(data)
    return channels if data[_COLOUR_TYPE] & _COLOURED else channels[..., [0, 3]]


def stated_bits(data: bytes, samples: NDArray[np.uint16]) -> int | None:
    """Number of used bits that the file states (sBIT) for 16-bit samples that were stored unscaled; else None.

    The standard requires scaling to the whole range, but many writers do not scale. Scaled values repeat their upper
    bits in the lower ones, or have zeros there.
    """
    start = data.find(b"sBIT", len(PNG), data.find(b"IDAT"))
    channels = {0: 1, 2: 3, 4: 2, 6: 4}.get(data[_COLOUR_TYPE], 1)
    bits = max(data[start + 4 : start + 4 + channels]) if start > 0 else 0
    if not 8 < bits < 16 or int(samples.max()) >> bits:
        return None
    high = samples >> (16 - bits)
    scaled = np.all((samples == high << (16 - bits)) | (samples == (high << (16 - bits)) | (high >> (2 * bits - 16))))
    return None if scaled else bits
