"""Masks that may be greys or values: of one channel, of a palette of greys, of few bits, and files that lose ids."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from pipeline.datasets import Dataset, FolderOptions, RecordError, open_dataset
from tests.pipeline.datasets.image_files import RGB, packed_tiff, png
from tests.pipeline.datasets.trees import random_image, save

SHAPE = (6, 9)
IMAGE = random_image(np.random.default_rng(0), *SHAPE)
WHITE_FIRST = "name,r,g,b\nwater,255,255,255\nland,0,0,0\n"
TWO = "background\nobject\n"


def folder(root: Path, mask: bytes, classes: str, suffix: str = "png", ignored: int | None = None) -> Dataset:
    save(root / "images" / "train" / "a.png", IMAGE)
    (root / "masks" / "train").mkdir(parents=True)
    (root / "masks" / "train" / f"a.{suffix}").write_bytes(mask)
    (root / f"classes.{'csv' if ',' in classes else 'txt'}").write_text(classes)
    return open_dataset("folder", root, FolderOptions(ignore_index=ignored))


def label_of(root: Path, mask: bytes, classes: str, suffix: str = "png", ignored: int | None = None) -> np.ndarray:
    dataset = folder(root, mask, classes, suffix, ignored)
    label = dataset.load(dataset.records("train")[0]).label
    assert label is not None
    return label


def encoded(image: np.ndarray | Image.Image, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind)
    return out.getvalue()


def random_ids(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, count, SHAPE).astype(np.uint8)


def two_tones(ids: np.ndarray, form: str) -> bytes:
    tones = ids * np.uint8(255)
    return {
        "1 bit": lambda: encoded(Image.fromarray(ids > 0)),
        "8 bits": lambda: encoded(tones),
        "with alpha": lambda: encoded(np.dstack([tones, np.full_like(tones, 255)])),
        "16 bits": lambda: encoded(tones.astype(np.uint16)),
        "16 bits, spread": lambda: encoded(tones.astype(np.uint16) * 257),
        "RGB": lambda: encoded(np.dstack([tones] * 3)),
    }[form]()


@pytest.mark.parametrize("form", ["1 bit", "8 bits", "with alpha", "16 bits", "16 bits, spread", "RGB"])
@pytest.mark.parametrize("count", [1, 2])
def test_one_channel_is_read_by_greys_where_only_these_are_stated(tmp_path: Path, form: str, count: int) -> None:
    ids = random_ids(count)
    np.testing.assert_array_equal(label_of(tmp_path, two_tones(ids, form), WHITE_FIRST), 1 - ids)


def test_greys_of_three_classes_are_no_rows(tmp_path: Path) -> None:
    ids = random_ids(3)
    table = "name,r,g,b\nsky,2,2,2\nroad,0,0,0\nbox,1,1,1\n"
    np.testing.assert_array_equal(label_of(tmp_path, encoded(ids), table), np.array([1, 2, 0])[ids])


def test_values_that_are_rows_and_half_of_them_greys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RecordError, match=r"^ambiguous label: .*the value 0 .*: state the ids of classes in it as well$"
    ):
        label_of(tmp_path, encoded(random_ids(2)), WHITE_FIRST)


def test_values_stay_rows_where_colours_are_stated_too(tmp_path: Path) -> None:
    ids = random_ids(3)
    table = "name,r,g,b\nsky,255,255,255\nroad,255,0,0\nvoid,0,0,0\n"
    np.testing.assert_array_equal(label_of(tmp_path / "rows", encoded(ids), table), ids)
    with_ignored = np.array([0, 1, 255], np.uint8)[ids]
    np.testing.assert_array_equal(label_of(tmp_path / "ignored", encoded(with_ignored), table), with_ignored)
    with pytest.raises(RecordError, match=r"^ambiguous label: .*the value 0 in the colour \(0, 0, 0\)"):
        label_of(tmp_path / "doubtful", encoded(ids * 0), table)


@pytest.mark.parametrize("form", ["RGB", "8 bits"])
def test_white_is_a_class_where_its_colour_is_stated_and_not_the_default_of_ignored_pixels(
    tmp_path: Path, form: str
) -> None:
    ids, table = random_ids(2), "id,name,r,g,b\n0,bg,0,0,0\n1,obj,255,255,255\n"
    mask = two_tones(ids, form)
    if form == "RGB":
        np.testing.assert_array_equal(label_of(tmp_path / "a", mask, table), ids)
        return
    with pytest.raises(
        RecordError, match=r"^ambiguous label: .*255.*state the id 255 for the class, or dataset\.folder"
    ):
        label_of(tmp_path / "a", mask, table)
    np.testing.assert_array_equal(label_of(tmp_path / "b", mask, table, ignored=255), ids * 255)


def test_a_grey_mask_that_is_saved_as_gif_keeps_its_values(tmp_path: Path) -> None:
    values = np.array([0, 2], np.uint8)[random_ids(2)]
    np.testing.assert_array_equal(label_of(tmp_path, encoded(values, "GIF"), "sky\nroad\nbox\n", "gif"), values)


@pytest.mark.parametrize("values", [(0, 255), (255, 255)])
def test_a_grey_mask_of_stated_ids_keeps_them_as_gif(tmp_path: Path, values: tuple[int, int]) -> None:
    mask = np.array(values, np.uint8)[random_ids(2)]
    label = label_of(tmp_path, encoded(mask, "GIF"), "id,name\n0,bg\n255,obj\n", "gif")
    np.testing.assert_array_equal(label, mask > 0)


def grey_palette(indices: np.ndarray, greys: list[int]) -> bytes:
    file = Image.fromarray(indices, mode="P")
    file.putpalette([grey for grey in greys for _ in range(3)])
    return encoded(file)


def test_two_tones_of_a_palette_are_their_indices(tmp_path: Path) -> None:
    ids = random_ids(2)
    np.testing.assert_array_equal(label_of(tmp_path, grey_palette(ids, [0, 255]), TWO), ids)


@pytest.mark.parametrize(("greys", "count"), [([255, 0], 2), ([255], 1), ([0, 128], 2), ([7, 0], 2)])
def test_a_palette_of_greys_that_are_neither_their_indices_nor_ids_is_refused(
    tmp_path: Path, greys: list[int], count: int
) -> None:
    with pytest.raises(RecordError, match=r"^ambiguous label: .* has a palette of greys, which shows the values \[0"):
        label_of(tmp_path, grey_palette(random_ids(count), greys), TWO)


def test_a_palette_of_colours_with_greys_among_them_keeps_its_indices(tmp_path: Path) -> None:
    file = Image.fromarray(np.zeros(SHAPE, np.uint8), mode="P")
    file.putpalette([120, 120, 120, 180, 0, 0])
    assert not label_of(tmp_path, encoded(file), TWO).any()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_values_of_few_bits_in_tiff_are_ids(tmp_path: Path, bits: int) -> None:
    ids = random_ids(min(3, 1 << bits))
    np.testing.assert_array_equal(label_of(tmp_path, packed_tiff(ids, bits), "sky\nroad\nbox\n", "tif"), ids)


def test_a_tiff_that_is_compressed_with_loss_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(random_ids(3)).save(out, "TIFF", compression="jpeg")
    with pytest.raises(RecordError, match=r"^lossy label: .*compression JPEG"):
        label_of(tmp_path, out.getvalue(), "sky\nroad\nbox\n", "tif")


@pytest.mark.parametrize("compression", [6, 7, 34892, 34712, 33003, 33005, 50001, 50002])
def test_every_lossy_compression_is_known(tmp_path: Path, compression: int) -> None:
    out = io.BytesIO()
    tifffile.imwrite(out, random_ids(3))
    data = bytearray(out.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        entry = file.pages[0].tags["Compression"].valueoffset
    data[entry : entry + 2] = compression.to_bytes(2, "little")
    with pytest.raises(RecordError, match=r"^lossy label: "):
        label_of(tmp_path, bytes(data), "sky\nroad\nbox\n", "tif")


def test_colours_of_16_bits_that_are_shifted_by_8_are_those_of_8(tmp_path: Path) -> None:
    ids = random_ids(2)
    pixels = np.array([(255, 0, 0), (0, 128, 7)], np.uint16)[ids] * 256
    np.testing.assert_array_equal(label_of(tmp_path, png(pixels, RGB), "name,r,g,b\na,255,0,0\nb,0,128,7\n"), ids)


def test_colours_of_a_jpeg_are_called_so(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(
        np.kron(np.array([(255, 0, 0), (0, 255, 0)], np.uint8)[random_ids(2)], np.ones((4, 4, 1), np.uint8))
    ).save(out, "JPEG")
    pixels = np.array(Image.open(out))
    with pytest.raises(RecordError, match=r"^unknown label colour: .*smoothed or saved with loss \(as JPEG\)"):
        label_of(tmp_path, encoded(pixels), "name,r,g,b\na,255,0,0\nb,0,255,0\n")


def test_the_value_of_ignored_pixels_is_no_object(tmp_path: Path) -> None:
    mask, numbers = random_ids(2), random_ids(3)
    mask[0] = numbers[0] = 255
    dataset = folder(tmp_path, encoded(mask), TWO)
    save(tmp_path / "instances" / "train" / "a.png", numbers)
    found = dataset.load(dataset.records("train")[0]).instances
    np.testing.assert_array_equal(found, np.where(numbers == 255, 0, numbers))
    # The 255th object of an image is one, where any of its pixels has a class.
    numbers[1, 1] = 255
    save(tmp_path / "instances" / "train" / "a.png", numbers)
    np.testing.assert_array_equal(dataset.load(dataset.records("train")[0]).instances, numbers)


def test_a_white_index_of_a_palette_that_is_ignored_by_default_stays_ambiguous(tmp_path: Path) -> None:
    file = Image.fromarray(random_ids(2) * np.uint8(255), mode="P")
    file.putpalette([0, 0, 0] * 200 + [9, 8, 7] * 55 + [255, 255, 255])
    with pytest.raises(RecordError, match=r"^ambiguous label: .*value 255 .*: state the id 255"):
        label_of(tmp_path, encoded(file), "id,name,r,g,b\n0,bg,0,0,0\n1,obj,255,255,255\n")
