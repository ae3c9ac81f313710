"""Every kind of image file comes out as upright RGB; label files come out as stored."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.datasets import RecordError
from pipeline.datasets.files.images import read_frame, read_label_colors, read_label_ids
from pipeline.datasets.files.tree import Tree
from tests.pipeline.datasets.image_files import read_image

ORIENTATION = 0x0112
HEIGHT, WIDTH = 5, 7


@pytest.fixture
def rgb(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, 1)),
        (7, lambda a: np.rot90(a.transpose(1, 0, 2), 2)),
        (8, lambda a: np.rot90(a, -1)),
    ],
)
def test_a_turned_photograph_is_read_upright(tmp_path: Path, rgb: np.ndarray, orientation: int, undo) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    # What the camera stored: the scene after the inverse of the tag's turn.
    stored = np.ascontiguousarray(undo(rgb))
    Image.fromarray(stored).save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "photo.png"), rgb)


def test_rgb_is_read_as_it_is(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb).save(tmp_path / "a.png")
    image = read_image(Tree(tmp_path), "a.png")
    assert image.dtype == np.uint8
    assert image.flags.writeable
    np.testing.assert_array_equal(image, rgb)


def test_grey_becomes_three_equal_channels(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb[..., 0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "a.png"), np.repeat(rgb[..., :1], 3, axis=2))


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    levels = np.array([[0, 128, 129, 257, 32768, 65278, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    expected = np.round(levels / 257).astype(np.uint8)
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "a.png"), np.repeat(expected[..., None], 3, axis=2))


def test_a_palette_file_gives_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "a.png")
    assert read_image(Tree(tmp_path), "a.png").tolist() == [
        [[10, 20, 30], [40, 50, 60]],
        [[70, 80, 90], [40, 50, 60]],
    ]


def test_cmyk_ink_becomes_light(tmp_path: Path) -> None:
    ink = np.zeros((16, 48, 4), np.uint8)
    ink[:, 16:32] = (0, 255, 255, 0)
    ink[:, 32:] = (0, 0, 0, 255)
    Image.fromarray(ink, mode="CMYK").save(tmp_path / "a.jpg", quality=100, subsampling=0)
    image = read_image(Tree(tmp_path), "a.jpg").astype(int)
    for column, color in ((8, (255, 255, 255)), (24, (255, 0, 0)), (40, (0, 0, 0))):
        assert np.abs(image[8, column] - color).max() <= 4


def test_transparency_is_dropped(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(np.dstack([rgb, np.full((HEIGHT, WIDTH), 9, np.uint8)])).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "a.png"), rgb)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"", "empty"), (b"not an image", "unidentified"), (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "truncated")],
)
def test_a_broken_file_is_named_in_one_line(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    for read, role in ((read_image, "image"), (read_label_ids, "label")):
        with pytest.raises(RecordError, match=rf"^{kind} {role}: .*broken\.png") as error:
            read(Tree(tmp_path), path.name)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("read", "shape"), [(read_image, (HEIGHT, WIDTH, 3)), (read_label_ids, (HEIGHT, WIDTH))])
def test_a_file_of_no_kind_is_reported_which_kinds_are_read(tmp_path: Path, read, shape: tuple[int, ...]) -> None:
    pixels = Image.fromarray(np.zeros(shape, np.uint8))
    readable = []
    for kind in ("PNG", "JPEG", "WebP", "AVIF", "BMP", "TIFF", "GIF", "PPM"):
        pixels.save(tmp_path / kind, format=kind)
        try:
            read(Tree(tmp_path), kind)
            readable.append(kind)
        except RecordError as error:
            other = str(error)
    assert other.endswith(f"expected {', '.join(readable[:-1])} or {readable[-1]}")


def test_a_file_that_was_cut_short_is_named(tmp_path: Path, rng: np.random.Generator) -> None:
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:5000])
    with pytest.raises(RecordError, match=r"^truncated image: .*cut\.png"):
        read_image(Tree(tmp_path), "cut.png")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"^missing image: .*gone\.png"):
        read_image(Tree(tmp_path), "gone.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_ids_are_read_as_stored(tmp_path: Path, rng: np.random.Generator, dtype: type) -> None:
    ids = rng.integers(0, np.iinfo(dtype).max + 1, (HEIGHT, WIDTH)).astype(dtype)
    Image.fromarray(ids).save(tmp_path / "a.png")
    read = read_label_ids(Tree(tmp_path), "a.png")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, ids)


def test_a_palette_label_gives_its_indices(tmp_path: Path) -> None:
    indices = np.array([[0, 1], [2, 1]], np.uint8)
    image = Image.fromarray(indices, mode="P")
    image.putpalette([128, 64, 128, 70, 70, 70, 0, 0, 142])
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label_ids(Tree(tmp_path), "a.png"), indices)


def test_a_colour_map_is_no_label(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb).save(tmp_path / "a.png")
    with pytest.raises(RecordError, match=r"^wrong label mode: .*a\.png has mode RGB: expected one channel"):
        read_label_ids(Tree(tmp_path), "a.png")


def smooth(height: int, width: int) -> np.ndarray:
    """A picture of large shapes without symmetry."""
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / (9 + i) + columns / (17 - 3 * i) + i) + columns / width for i in range(3)]
    return (np.stack(waves, 2) * 60 + 100).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("at_least", "reduction"),
    [((97, 30), 1), ((96, 152), 1), ((96, 151), 2), ((48, 75), 4), ((49, 75), 2), ((24, 37), 8), ((1, 1), 8)],
)
def test_a_photograph_is_decoded_as_small_as_may_be(tmp_path: Path, at_least: tuple[int, int], reduction: int) -> None:
    Image.fromarray(smooth(193, 303)).save(tmp_path / "a.jpg", quality=95)
    frame = read_frame(Tree(tmp_path), "a.jpg", at_least)
    assert (frame.reduction, frame.full_size) == (reduction, (193, 303))
    assert frame.image.shape[:2] == (-(-193 // reduction), -(-303 // reduction))
    assert all(side >= least for side, least in zip(frame.image.shape, at_least, strict=False)) or reduction == 1


def test_only_jpeg_is_decoded_smaller_and_only_when_asked(tmp_path: Path) -> None:
    image = smooth(64, 96)
    for name in ("a.png", "a.jpg", "a.webp"):
        Image.fromarray(image).save(tmp_path / name)
    assert read_frame(Tree(tmp_path), "a.jpg").reduction == 1
    for name in ("a.png", "a.webp"):
        frame = read_frame(Tree(tmp_path), name, (8, 8))
        assert (frame.reduction, frame.image.shape) == (1, (64, 96, 3))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_measured_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(smooth(64, 192)).save(tmp_path / "a.jpg", quality=95, exif=exif)
    upright = read_image(Tree(tmp_path), "a.jpg")
    height, width = upright.shape[:2]
    frame = read_frame(Tree(tmp_path), "a.jpg", (height // 4, width // 4))
    assert (frame.reduction, frame.full_size) == (4, (height, width))
    assert read_frame(Tree(tmp_path), "a.jpg", (width // 4, height // 4)).reduction == 1
    means = upright.reshape(height // 4, 4, width // 4, 4, 3).mean((1, 3))
    assert np.abs(frame.image - means).mean() < 3


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_photographs_are_decoded_smaller_too(tmp_path: Path, mode: str) -> None:
    Image.fromarray(smooth(64, 96)).convert(mode).save(tmp_path / "a.jpg", quality=95)
    frame = read_frame(Tree(tmp_path), "a.jpg", (30, 40))
    assert frame.image.shape == (32, 48, 3)
    whole = read_image(Tree(tmp_path), "a.jpg")
    assert np.abs(frame.image - whole.reshape(32, 2, 48, 2, 3).mean((1, 3))).mean() < 3


def test_a_label_is_read_as_it_is_stored_whatever_its_orientation(tmp_path: Path) -> None:
    ids = np.arange(6, dtype=np.uint8).reshape(2, 3)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(ids).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_label_ids(Tree(tmp_path), "a.png"), ids)


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_of_few_bits_gives_the_ids_as_stored(tmp_path: Path, bits: int) -> None:
    ids = np.arange(2**bits, dtype=np.uint8)[None].repeat(3, axis=0)
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, 0, 0, 0, 0)
    rows = b"".join(b"\0" + np.packbits(np.unpackbits(row[:, None], axis=1)[:, -bits:]).tobytes() for row in ids)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    sealed = [(struct.pack(">I", len(data)), kind + data) for kind, data in chunks]
    packed = (length + body + struct.pack(">I", zlib.crc32(body)) for length, body in sealed)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    np.testing.assert_array_equal(read_label_ids(Tree(tmp_path), "a.png"), ids)


def test_a_mirrored_photograph_is_decoded_whole_where_pixels_would_be_cut(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 2
    Image.fromarray(np.zeros((64, 65, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    frame = read_frame(Tree(tmp_path), "a.jpg", (8, 8))
    assert (frame.reduction, frame.image.shape) == (1, (64, 65, 3))


def test_colours_of_labels_with_transparent_parts_are_refused(tmp_path: Path) -> None:
    colors = np.zeros((4, 6, 4), np.uint8)
    Image.fromarray(colors).save(tmp_path / "even.png")
    assert read_label_colors(Tree(tmp_path), "even.png").shape == (4, 6, 3)
    colors[0, 0, 3] = 255
    Image.fromarray(colors).save(tmp_path / "a.png")
    with pytest.raises(RecordError, match=r"^wrong label mode: .*alpha channel of 0\.\.255"):
        read_label_colors(Tree(tmp_path), "a.png")
