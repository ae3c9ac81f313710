"""Image files that a test writes byte by byte, because no library writes them."""

from __future__ import annotations

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6


def chunk(kind: bytes, body: bytes, broken: bool = False) -> bytes:
    """A PNG chunk, with a wrong checksum where it is to be broken."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ broken)


def png(samples: np.ndarray, colour_type: int, before: bytes = b"", behind: bytes = b"") -> bytes:
    """Samples of 8 or 16 bits [H, W] or [H, W, C] as a PNG file, with further chunks around its pixels."""
    height, width = samples.shape[:2]
    bits = samples.dtype.itemsize * 8
    rows = samples.astype(samples.dtype.newbyteorder(">")).reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = [chunk(b"IHDR", header), before, chunk(b"IDAT", pixels), behind, chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(chunks)


def packed_tiff(samples: np.ndarray, bits: int) -> bytes:
    """Grey samples [H, W] of so many bits, packed without gaps, as an uncompressed TIFF file."""
    height, width = samples.shape
    flags = np.unpackbits(samples.astype(">u2").view(np.uint8).reshape(height, width, 2), axis=-1)[..., 16 - bits :]
    body = np.packbits(flags.reshape(height, -1), axis=1).tobytes()
    entries = [
        *((256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 122)),
        *((277, 3, 1), (278, 3, height), (279, 4, len(body))),
    ]
    tags = (struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(tags) + struct.pack("<I", 0) + body
