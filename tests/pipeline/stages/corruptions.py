"""Ways to spoil an image and its label on disk, each with the kind of fault that it is."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

Spoil = Callable[[Path, Path, np.random.Generator], None]


def encoded(array: np.ndarray, image_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, image_format)
    return buffer.getvalue()


@cache
def bomb() -> bytes:
    """A valid PNG of a few kilobytes that unpacks to a hundred million pixels."""
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "PNG")
    return buffer.getvalue()


def cut(path: Path, rng: np.random.Generator) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(rng.integers(8, len(data) - 12))])


def flip(path: Path, rng: np.random.Generator) -> None:
    """One bit of the compressed pixels."""
    data = bytearray(path.read_bytes())
    start = data.index(b"IDAT") + 4
    length = int.from_bytes(data[start - 8 : start - 4], "big")
    data[start + int(rng.integers(length))] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(data))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def text(path: Path, rng: np.random.Generator) -> None:
    path.write_text(f"404 Not Found {rng.integers(1 << 30)}")


def cut_jpeg(image: Path, rng: np.random.Generator) -> None:
    data = encoded(rng.integers(0, 256, (16, 24, 3), dtype=np.uint8), "JPEG")
    image.write_bytes(data[: int(rng.integers(4, len(data) - 2))])


def unknown_id(label: Path, rng: np.random.Generator, dtype: type) -> None:
    ids = np.zeros((16, 24), dtype)
    ids[rng.integers(16), rng.integers(24)] = rng.integers(12, np.iinfo(dtype).max + 1)
    label.write_bytes(encoded(ids, "PNG"))


def wide(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(encoded(rng.integers(1 << 17, 1 << 20, (16, 24)).astype(np.int32), "TIFF"))


def colours(label: Path, rng: np.random.Generator, channels: int, image_format: str) -> None:
    label.write_bytes(encoded(rng.integers(0, 256, (16, 24, channels), dtype=np.uint8), image_format))


def tiny(image: Path, label: Path) -> None:
    image.write_bytes(encoded(np.zeros((4, 4, 3), np.uint8), "PNG"))
    label.write_bytes(encoded(np.zeros((4, 4), np.uint8), "PNG"))


CORRUPTIONS: list[tuple[str, Spoil]] = [
    ("missing image", lambda image, _label, _rng: image.unlink()),
    ("missing label", lambda _image, label, _rng: label.unlink()),
    ("empty image", lambda image, _label, _rng: image.write_bytes(b"") and None),
    ("empty label", lambda _image, label, _rng: label.write_bytes(b"") and None),
    ("folder instead of image", lambda image, _label, _rng: folder(image)),
    ("folder instead of label", lambda _image, label, _rng: folder(label)),
    ("special file instead of image", lambda image, _label, _rng: pipe(image)),
    ("special file instead of label", lambda _image, label, _rng: pipe(label)),
    ("unreadable image", lambda image, _label, _rng: loop(image)),
    ("unreadable label", lambda _image, label, _rng: loop(label)),
    ("unidentified image", lambda image, _label, rng: text(image, rng)),
    ("unidentified label", lambda _image, label, rng: text(label, rng)),
    ("truncated image", lambda image, _label, rng: cut(image, rng)),
    ("truncated image", lambda image, _label, rng: cut_jpeg(image, rng)),
    ("truncated label", lambda _image, label, rng: cut(label, rng)),
    ("damaged image", lambda image, _label, rng: flip(image, rng)),
    ("damaged label", lambda _image, label, rng: flip(label, rng)),
    ("bomb-sized image", lambda image, _label, _rng: image.write_bytes(bomb()) and None),
    ("bomb-sized label", lambda _image, label, _rng: label.write_bytes(bomb()) and None),
    (
        "wrong image mode",
        lambda image, _l, rng: image.write_bytes(encoded(rng.random((16, 24), np.float32), "TIFF")) and None,
    ),
    ("wrong label mode", lambda _image, label, rng: colours(label, rng, 3, "PNG")),
    ("wrong label mode", lambda _image, label, rng: colours(label, rng, 4, "PNG")),
    ("lossy label", lambda _image, label, rng: colours(label, rng, 3, "JPEG")),
    ("unknown label id", lambda _image, label, rng: unknown_id(label, rng, np.uint8)),
    ("unknown label id", lambda _image, label, rng: unknown_id(label, rng, np.uint16)),
    ("label ids out of range", lambda _image, label, rng: wide(label, rng)),
    ("image values out of range", lambda image, _label, rng: wide(image, rng)),
    (
        "size mismatch",
        lambda _image, label, _rng: label.write_bytes(encoded(np.zeros((15, 24), np.uint8), "PNG")) and None,
    ),
    ("image too small", lambda image, label, _rng: tiny(image, label)),
]
