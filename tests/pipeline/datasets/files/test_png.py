"""PNG files: what no pixel depends on never spoils one, and what a pixel depends on is held against its checksum."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from pipeline.datasets import Decoding, RecordError
from pipeline.datasets.files.images import read_label_ids, read_mask
from pipeline.datasets.files.tree import Tree
from tests.pipeline.datasets.image_files import GREY, GREY_ALPHA, RGB, RGBA, chunk, png, read_image

SHAPE = (19, 33)
IDS = np.random.default_rng(1).integers(0, 256, SHAPE).astype(np.uint8)
COLOURS = np.random.default_rng(2).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
MEGABYTES = bytes(9 << 20)
PROFILE = b"icc\0\0" + zlib.compress(MEGABYTES)

ANCILLARY = {
    "megabytes of text": chunk(b"tEXt", b"Comment\0" + MEGABYTES.replace(b"\0", b"x")),
    "megabytes of compressed text": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(MEGABYTES)),
    "megabytes of international text": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(MEGABYTES)),
    "text that is none": chunk(b"zTXt", b"Comment\0\0no deflate stream"),
    "a colour profile of megabytes": chunk(b"iCCP", PROFILE),
    "a colour profile that is none": chunk(b"iCCP", b"icc\0\0no deflate stream"),
    "a wrong checksum of text": chunk(b"tEXt", b"Comment\0x", broken=True),
    "a wrong checksum of a date": chunk(b"tIME", bytes(7), broken=True),
    "a wrong checksum of EXIF": chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\0", broken=True),
    "a chunk of no kind": chunk(b"abCd", b"whatever"),
    "a chunk of no kind with a wrong checksum": chunk(b"abCd", b"whatever", broken=True),
    "a resolution that is too short": chunk(b"pHYs", b"\0"),
    "a gamma that is too short": chunk(b"gAMA", b"\0"),
}


@pytest.mark.parametrize("name", ANCILLARY)
@pytest.mark.parametrize("place", ["before", "behind"])
def test_what_no_pixel_depends_on_spoils_no_file(tmp_path: Path, name: str, place: str) -> None:
    (tmp_path / "ids.png").write_bytes(png(IDS, GREY, **{place: ANCILLARY[name]}))
    (tmp_path / "image.png").write_bytes(png(COLOURS, RGB, **{place: ANCILLARY[name]}))
    deep = COLOURS.astype(np.uint16) * 257
    (tmp_path / "deep.png").write_bytes(png(deep, RGB, **{place: ANCILLARY[name]}))
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "deep.png"), COLOURS)
    np.testing.assert_array_equal(read_label_ids(Tree(tmp_path), "ids.png"), IDS)
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "image.png"), COLOURS)


def test_a_photograph_is_turned_upright_though_its_text_is_damaged(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.fromarray(COLOURS).save(out, "PNG", exif=exif)
    broken = chunk(b"tEXt", b"Comment\0x", broken=True)
    (tmp_path / "a.png").write_bytes(out.getvalue().replace(b"\0\0\0\0IEND", broken + b"\0\0\0\0IEND"))
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "a.png"), np.rot90(COLOURS, -1))


@given(st.data())
def test_every_flipped_bit_of_the_pixels_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("png")
    whole = png(IDS, GREY, before=ANCILLARY["a chunk of no kind"])
    start, end = whole.index(b"IDAT"), whole.index(b"IEND") - 4
    spoilt = bytearray(whole)
    spoilt[data.draw(st.integers(start, end - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (folder / "a.png").write_bytes(bytes(spoilt))
    with pytest.raises(RecordError, match=r"^(damaged|truncated) label: .*a\.png"):
        read_label_ids(Tree(folder), "a.png")


@given(st.data())
def test_every_file_that_is_cut_off_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("png")
    whole = png(IDS, GREY, behind=ANCILLARY["a chunk of no kind"])
    (folder / "a.png").write_bytes(whole[: data.draw(st.integers(8, len(whole) - 1))])
    with pytest.raises(RecordError, match=r"^truncated label: .*a\.png"):
        read_label_ids(Tree(folder), "a.png")


@pytest.mark.parametrize(("kind", "channels"), [(RGB, 3), (RGBA, 4), (GREY_ALPHA, 2)])
def test_colours_of_16_bits_are_rounded_and_not_cut_to_8(tmp_path: Path, kind: int, channels: int) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (*SHAPE, channels)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(png(deep, kind))
    seen = deep[..., :3] if channels > 2 else np.repeat(deep[..., :1], 3, axis=2)
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "a.png"), np.rint(seen / 257).astype(np.uint8))


@given(st.integers(9, 15), st.sampled_from([GREY, RGB]), st.integers(0, 2**32))
def test_bits_that_a_file_states_count_whether_its_samples_are_scaled_or_not(
    tmp_path_factory: pytest.TempPathFactory, bits: int, kind: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("png")
    white = 2**bits - 1
    raw = np.random.default_rng(seed).integers(0, white + 1, (*SHAPE, 3)).astype(np.uint16)
    raw = raw if kind == RGB else raw[..., 0]
    shift = 16 - bits
    expected = (raw.reshape(*SHAPE, -1) * (255 / white) + np.zeros((1, 1, 3))).round()
    for name, stored in {"raw": raw, "repeated": raw << shift | raw >> (bits - shift), "shifted": raw << shift}.items():
        (folder / name).write_bytes(png(stored, kind, before=chunk(b"sBIT", bytes([bits] * (3 if kind == RGB else 1)))))
        assert np.abs(read_image(Tree(folder), name) - expected).max() <= (0 if name == "raw" else 1), name


def test_the_pixel_limit_is_a_setting_that_is_named(tmp_path: Path) -> None:
    Image.fromarray(IDS).save(tmp_path / "a.png")
    Image.fromarray(COLOURS).save(tmp_path / "a.tif")
    count = SHAPE[0] * SHAPE[1]
    named = rf"has 33 x 19 = {count} pixels, more than dataset\.max_pixels={count - 1}: raise it"
    for read, role, name in (
        (read_image, "image", "a.tif"),
        (read_image, "image", "a.png"),
        (read_mask, "label", "a.png"),
    ):
        with pytest.raises(RecordError, match=rf"^bomb-sized {role}: .*{name} {named}"):
            read(Tree(tmp_path, decoding=Decoding(max_pixels=count - 1)), name)
        read(Tree(tmp_path, decoding=Decoding(max_pixels=count)), name)
    (tmp_path / "a.bin").write_bytes(bytes(8 * count + 1))
    with pytest.raises(
        RecordError, match=rf"^bomb-sized image: .*a\.bin has {8 * count + 1} bytes, .*dataset\.max_pixels"
    ):
        read_image(Tree(tmp_path, decoding=Decoding(max_pixels=count)), "a.bin")


def test_text_is_read_where_it_says_how_the_image_is_turned(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta><rdf:Description tiff:Orientation="3"/></x:xmpmeta>')
    Image.fromarray(COLOURS).save(tmp_path / "a.png", pnginfo=info)
    np.testing.assert_array_equal(read_image(Tree(tmp_path), "a.png"), COLOURS[::-1, ::-1])
