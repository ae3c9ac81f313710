"""Image files that tests write byte by byte, because no library writes them, and reading image files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.files.images import read_frame
from pipeline.datasets.files.tree import Tree

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


def tiff(tags: Mapping[int, Sequence[int]], strips: Sequence[bytes]) -> bytes:
    """A little-endian TIFF file with these tags, and those that say where its strips are."""
    lengths = [len(strip) for strip in strips]
    fields = {**tags, 273: [0] * len(strips), 279: lengths}
    after = 8 + 2 + 12 * len(fields) + 4
    apart = {tag: 4 * len(values) for tag, values in fields.items() if len(values) > 1}
    body = after + sum(apart.values())
    fields[273] = [body + sum(lengths[:number]) for number in range(len(strips))]
    entries, values_apart = b"", b""
    for tag, values in sorted(fields.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        place = packed if len(values) == 1 else struct.pack("<I", after + len(values_apart))
        values_apart += packed if len(values) > 1 else b""
        entries += struct.pack("<HHI", tag, 4, len(values)) + place
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + bytes(4) + values_apart + b"".join(strips)


def packed_tiff(samples: np.ndarray, bits: int) -> bytes:
    """Grey samples [H, W] of ``bits`` bits, packed without gaps, as an uncompressed TIFF file."""
    height, width = samples.shape
    flags = np.unpackbits(samples.astype(">u2").view(np.uint8).reshape(height, width, 2), axis=-1)[..., 16 - bits :]
    body = np.packbits(flags.reshape(height, -1), axis=1).tobytes()
    return tiff({256: [width], 257: [height], 258: [bits], 259: [1], 262: [1], 277: [1], 278: [height]}, [body])


def packbits_planes(samples: np.ndarray) -> bytes:
    """Colours of 16 bits [H, W, 3] as a TIFF file of three planes in PackBits, which no library here writes."""
    height, width, channels = samples.shape
    planes = [
        b"".join(
            bytes([len(part) - 1]) + part
            for row in samples[..., channel].astype("<u2")
            for start in range(0, 2 * width, 128)
            if (part := row.tobytes()[start : start + 128])
        )
        for channel in range(channels)
    ]
    tags = {256: [width], 257: [height], 258: [16] * 3, 259: [32773], 262: [2], 277: [3], 278: [height], 284: [2]}
    return tiff(tags, planes)


def read_image(tree: Tree, path: str) -> NDArray[np.uint8]:
    """The pixels of an image file."""
    return read_frame(tree, path).image
