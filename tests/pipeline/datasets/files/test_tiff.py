"""TIFF files in every layout are read as they are meant, or refused by kind; never as other pixels."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pipeline.datasets import Decoding, RecordError
from pipeline.datasets.files.images import read_label_colors, read_label_ids, read_mask
from pipeline.datasets.files.tree import Tree
from tests.pipeline.datasets.image_files import packbits_planes, packed_tiff, read_image

SHAPE = (21, 35)
ORIENTATION = 274


def eight_bits(values: np.ndarray, white: int = 65535) -> np.ndarray:
    return values if values.dtype == np.uint8 else np.rint(values.astype(float) * 255 / white).astype(np.uint8)


def samples(rng: np.random.Generator, dtype: type, channels: int, white: int | None = None) -> np.ndarray:
    values = rng.integers(0, (white or np.iinfo(dtype).max) + 1, (*SHAPE, channels)).astype(dtype)
    return values[..., 0] if channels == 1 else values


def write(path: Path, values: np.ndarray, **options: Any) -> None:
    planar = options.get("planarconfig") == "separate"
    tifffile.imwrite(path, np.ascontiguousarray(np.moveaxis(values, -1, 0)) if planar else values, **options)


@given(
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([1, 3, 4]),
    st.sampled_from(["contig", "separate"]),
    st.sampled_from([(None, False), ("zlib", False), ("zlib", True)]),
    st.sampled_from([None, (16, 16)]),
    st.sampled_from(["<", ">"]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_every_layout_gives_the_same_pixels_as_tifffile(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: type,
    channels: int,
    planes: str,
    packing: tuple[str | None, bool],
    tile: tuple[int, int] | None,
    order: Any,
    big: bool,
    seed: int,
) -> None:
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    values = samples(np.random.default_rng(seed), dtype, channels)
    options: dict[str, Any] = {"compression": packing[0], "predictor": packing[1], "tile": tile}
    if channels > 1:
        options |= {"planarconfig": planes, "extrasamples": ["unassalpha"] * (channels - 3)}
    write(path, values, photometric="rgb" if channels > 1 else "minisblack", byteorder=order, bigtiff=big, **options)
    stored = tifffile.imread(path)
    stored = np.moveaxis(stored, 0, -1) if stored.shape != values.shape else stored
    seen = stored[..., :3] if channels > 1 else np.repeat(stored[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_image(Tree(path.parent), path.name), eight_bits(seen))


@pytest.mark.parametrize("compression", [1, 5, 8, 32773], ids=["none", "lzw", "deflate", "packbits"])
def test_compressed_colours_of_16_bits_keep_all_of_them(tmp_path: Path, compression: int) -> None:
    values = samples(np.random.default_rng(0), np.uint16, 3)
    encoded = cv2.imencode(".tiff", values[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, compression])[1]
    (tmp_path / "a.tif").write_bytes(encoded.tobytes())
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "a.tif"), eight_bits(values))
    np.testing.assert_array_equal(read_mask(Tree(tmp_path), "a.tif").values, values)


def test_planes_of_16_bits_in_other_compressions_keep_their_upper_8(tmp_path: Path) -> None:
    values = samples(np.random.default_rng(0), np.uint16, 3)
    (tmp_path / "a.tif").write_bytes(packbits_planes(values))
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "a.tif"), values >> 8)
    for read, tree in ((read_mask, Tree(tmp_path)), (read_image, Tree(tmp_path, decoding=Decoding(bit_depth=12)))):
        with pytest.raises(
            RecordError, match=r"^unsupported .*3 channels of 16 bits .* separate planes, compression PA"
        ):
            read(tree, "a.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 3, 4, 7])
def test_bands_that_are_called_grey_are_colours_from_three_on(tmp_path: Path, dtype: type, channels: int) -> None:
    values = samples(np.random.default_rng(0), dtype, channels)
    for planes in ("contig", "separate"):
        write(tmp_path / "a.tif", values, photometric="minisblack", planarconfig=planes)
        seen = values[..., :3] if channels > 2 else np.repeat(values[..., :1], 3, axis=2)
        np.testing.assert_array_equal(read_image(Tree(tmp_path), "a.tif"), eight_bits(seen))


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_inks_of_16_bits_become_light(tmp_path: Path, planes: str) -> None:
    values = samples(np.random.default_rng(0), np.uint16, 4)
    write(tmp_path / "a.tif", values, photometric="separated", planarconfig=planes)
    expected = np.asarray(Image.fromarray(eight_bits(values), mode="CMYK").convert("RGB"))
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "a.tif"), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_zero_is_white_it_is_seen_so(tmp_path: Path, dtype: type) -> None:
    values = samples(np.random.default_rng(0), dtype, 1)
    write(tmp_path / "a.tif", values, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "a.tif")[..., 0], 255 - eight_bits(values))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_colours_of_16_bits_are_turned_upright_as_those_of_8_are(tmp_path: Path, orientation: int) -> None:
    values = samples(np.random.default_rng(0), np.uint16, 3)
    for name, stored in (("deep.tif", values), ("plain.tif", eight_bits(values))):
        write(tmp_path / name, stored, photometric="rgb", extratags=[(ORIENTATION, 3, 1, orientation, True)])
    deep, plain = (read_image(Tree(tmp_path), name) for name in ("deep.tif", "plain.tif"))
    assert deep.shape == plain.shape
    np.testing.assert_array_equal(deep, plain)


@pytest.mark.parametrize(
    ("dtype", "channels", "kind"),
    [
        (np.float16, 1, "wrong image mode"),
        (np.float32, 1, "wrong image mode"),
        (np.float32, 3, "wrong image mode"),
        (np.float64, 1, "wrong image mode"),
        (np.int8, 1, "wrong image mode"),
        (np.uint32, 1, "image values out of range"),
        (np.uint32, 3, "unsupported image"),
    ],
)
def test_samples_that_are_no_colours_are_refused_by_kind(tmp_path: Path, dtype: type, channels: int, kind: str) -> None:
    values = (np.random.default_rng(0).random((*SHAPE, channels)) * 100).astype(dtype)
    values = values + dtype(1 << 17) if dtype is np.uint32 else values
    write(tmp_path / "a.tif", values if channels > 1 else values[..., 0], photometric="rgb" if channels > 1 else None)
    with pytest.raises(RecordError, match=rf"^{kind}: .*a\.tif .*expected"):
        read_image(Tree(tmp_path), "a.tif")


@pytest.mark.parametrize("read", [read_image, read_label_ids])
def test_a_stack_of_images_is_none_but_one_with_overviews_is(tmp_path: Path, read: Any) -> None:
    values = samples(np.random.default_rng(0), np.uint8, 1)
    write(tmp_path / "stack.tif", np.stack([values, values]), photometric="minisblack")
    with pytest.raises(RecordError, match=r"^several pages: .*stack\.tif holds 2 images: expected one a file$"):
        read(Tree(tmp_path), "stack.tif")
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        file.write(values, photometric="minisblack")
        file.write(values[::2, ::2], photometric="minisblack", subfiletype=1)
        file.write(values > 7, photometric="minisblack", subfiletype=4)
    np.testing.assert_array_equal(read(Tree(tmp_path), "pyramid.tif").reshape(*SHAPE, -1)[..., 0], values)


@given(st.integers(9, 15), st.booleans(), st.integers(0, 2**32))
def test_a_largest_value_of_fewer_bits_is_white(
    tmp_path_factory: pytest.TempPathFactory, bits: int, coloured: bool, seed: int
) -> None:
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    white = 2**bits - 1
    values = samples(np.random.default_rng(seed), np.uint16, 3 if coloured else 1, white)
    largest = (281, 3, 1, white, True)
    write(path, values, photometric="rgb" if coloured else "minisblack", extratags=[largest])
    seen = values if coloured else np.repeat(values[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_image(Tree(path.parent), path.name), eight_bits(seen, white))


def test_packed_samples_of_12_bits_are_bright(tmp_path: Path) -> None:
    values = samples(np.random.default_rng(0), np.uint16, 1, 4095)
    (tmp_path / "a.tif").write_bytes(packed_tiff(values, 12))
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "a.tif")[..., 0], eight_bits(values, 4095))
    (tmp_path / "b.tif").write_bytes(packed_tiff(values >> 2, 10))
    with pytest.raises(RecordError, match=r"^unsupported image: .*b\.tif has 1 channels of 10 bits"):
        read_image(Tree(tmp_path), "b.tif")


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_a_stated_bit_depth_is_white_and_holds(tmp_path: Path, bits: int) -> None:
    white = 2**bits - 1
    values = samples(np.random.default_rng(0), np.uint16, 1, white)
    values[0, :2] = 0, white
    Image.fromarray(values).save(tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "colour.png"), np.repeat(values[..., None], 3, axis=2))
    stated = Tree(tmp_path, decoding=Decoding(bit_depth=bits))
    for name in ("a.png", "colour.png"):
        np.testing.assert_array_equal(read_image(stated, name)[..., 1], eight_bits(values, white))
        with pytest.raises(RecordError, match=r"^image values out of range: .*expected 0\.\.511, which are 9 bits$"):
            read_image(Tree(tmp_path, decoding=Decoding(bit_depth=9)), name)
        dark = read_image(Tree(tmp_path, decoding=Decoding(bit_depth=16)), name)
        np.testing.assert_array_equal(dark[..., 0], eight_bits(values))
        with pytest.raises(RecordError, match=rf"^doubtful bit depth: .*up to {white} .*bit_depth={bits} "):
            read_image(Tree(tmp_path), name)


@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 14])
def test_single_bright_pixels_do_not_hide_a_doubtful_depth(tmp_path: Path, bits: int, coloured: bool) -> None:
    shape = (40, 50, 3) if coloured else (40, 50)
    values = np.random.default_rng(0).integers(0, 1 << bits, shape).astype(np.uint16)
    values[0, 0] = 65000
    cv2.imwrite(str(tmp_path / "a.png"), values)
    said = (
        rf"^doubtful bit depth: .*a\.png has values up to 65000 and nearly all up to \d+ .*dataset\.bit_depth={bits} if"
    )
    with pytest.raises(RecordError, match=said):
        read_image(Tree(tmp_path), "a.png")
    values[:4] = 40000
    cv2.imwrite(str(tmp_path / "a.png"), values)
    assert read_image(Tree(tmp_path), "a.png")[0, 0, 0] == eight_bits(np.uint16(40000))


def test_8_bits_within_16_are_read_as_stated(tmp_path: Path) -> None:
    values = samples(np.random.default_rng(0), np.uint16, 1, 255)
    Image.fromarray(values).save(tmp_path / "a.png")
    with pytest.raises(RecordError, match=r"^doubtful bit depth: .*dataset\.bit_depth=8 if"):
        read_image(Tree(tmp_path), "a.png")
    np.testing.assert_array_equal(read_image(Tree(tmp_path, decoding=Decoding(bit_depth=8)), "a.png")[..., 0], values)


def test_black_is_black_in_any_depth(tmp_path: Path) -> None:
    Image.fromarray(np.zeros(SHAPE, np.uint16)).save(tmp_path / "a.png")
    assert not read_image(Tree(tmp_path), "a.png").any()


@given(st.data())
def test_damaged_bytes_are_refused_or_change_nothing_but_pixels(data: st.DataObject) -> None:
    out = io.BytesIO()
    values = samples(np.random.default_rng(0), np.uint16, 3)
    tifffile.imwrite(out, np.moveaxis(values, -1, 0), photometric="rgb", planarconfig="separate")
    spoilt = bytearray(out.getvalue())
    for place in data.draw(st.lists(st.integers(0, 400), min_size=1, max_size=4)):
        spoilt[place] ^= data.draw(st.integers(1, 255))
    tree = _InMemory(bytes(spoilt))
    try:
        image = read_image(tree, "a.tif")  # type: ignore[arg-type]
    except RecordError as error:
        assert "\n" not in str(error)
    else:
        assert image.dtype == np.uint8


class _InMemory:
    """A tree of one file."""

    decoding = Decoding(max_pixels=1 << 16)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def at(self, path: str) -> str:
        return path

    def read(self, path: str, role: str) -> bytes:  # noqa: ARG002
        return self.data


@pytest.mark.parametrize("read", [read_mask, read_label_colors])
def test_labels_in_compression_that_changes_ids_are_refused_and_images_are_not(tmp_path: Path, read: Any) -> None:
    values = np.full((*SHAPE, 3), 7, np.uint8)
    Image.fromarray(values).save(tmp_path / "a.tif", compression="jpeg")
    assert read_image(Tree(tmp_path), "a.tif").shape == values.shape
    with pytest.raises(RecordError, match=r"^lossy label: .*a\.tif is TIFF with the compression JPEG"):
        read(Tree(tmp_path), "a.tif")


def retagged(data: bytes, **numbers: int) -> bytes:
    """A classic little-endian TIFF file with other values of tags of one short each."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        places = {name: file.pages.first.tags[name].valueoffset for name in numbers}
    changed = bytearray(data)
    for name, place in places.items():
        changed[place : place + 2] = numbers[name].to_bytes(2, "little")
    return bytes(changed)


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_compressed_planes_that_are_called_grey_are_refused_and_not_read_in_part(tmp_path: Path, read: Any) -> None:
    values = samples(np.random.default_rng(0), np.uint16, 3)
    (tmp_path / "a.tif").write_bytes(retagged(packbits_planes(values), PhotometricInterpretation=1))
    with pytest.raises(RecordError, match=r"^unsupported .*3 channels of 16 bits .* separate planes, compression PA"):
        read(Tree(tmp_path), "a.tif")


@pytest.mark.parametrize("number", [50000, 34925], ids=["zstd", "lzma"])
def test_a_compression_that_nothing_decodes_is_named_and_nothing_else_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], number: int
) -> None:
    values = samples(np.random.default_rng(0), np.uint16, 3)
    encoded = cv2.imencode(".tiff", values, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes()
    (tmp_path / "a.tif").write_bytes(retagged(encoded, Compression=number))
    with pytest.raises(RecordError, match=r"^unsupported label: .*compression (ZSTD|LZMA)"):
        read_mask(Tree(tmp_path), "a.tif")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["grey", "grey16", "rgb", "rgb16"])
def test_masks_are_turned_upright_alike_in_every_depth(tmp_path: Path, kind: str, orientation: int) -> None:
    values = samples(np.random.default_rng(0), np.uint16 if "16" in kind else np.uint8, 3 if "rgb" in kind else 1)
    tags = [(ORIENTATION, 3, 1, orientation, True)]
    write(tmp_path / "a.tif", values, photometric="rgb" if "rgb" in kind else "minisblack", extratags=tags)
    places = Image.fromarray(np.arange(SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE))
    places.getexif()[ORIENTATION] = orientation
    order = np.asarray(ImageOps.exif_transpose(places)).astype(int)
    expected = values.reshape(-1, *values.shape[2:])[order]
    np.testing.assert_array_equal(read_mask(Tree(tmp_path), "a.tif").values, expected)
