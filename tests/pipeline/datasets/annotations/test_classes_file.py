"""What masks hold, read by whatever file of classes people have: tables of any form, ids, colours, or both."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from augment.errors import UserError
from pipeline.datasets import Dataset, FolderOptions, RecordError, open_dataset
from tests.pipeline.datasets.image_files import GREY_ALPHA, RGB, RGBA, png
from tests.pipeline.datasets.trees import random_image, save

SHAPE = (6, 9)
IMAGE = random_image(np.random.default_rng(0), *SHAPE)
NAMES = ("sky", "road", "box")
colors = st.tuples(*[st.integers(0, 255)] * 3)


def folder(root: Path, mask: bytes, classes: str | bytes, name: str = "classes.csv", suffix: str = "png") -> Dataset:
    save(root / "images" / "train" / "a.png", IMAGE)
    (root / "masks" / "train").mkdir(parents=True)
    (root / "masks" / "train" / f"a.{suffix}").write_bytes(mask)
    (root / name).write_bytes(classes if isinstance(classes, bytes) else classes.encode())
    return open_dataset("folder", root)


def label_of(dataset: Dataset) -> np.ndarray:
    label = dataset.load(dataset.records("train")[0]).label
    assert label is not None
    return label


def encoded(array: np.ndarray, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind)
    return out.getvalue()


def random_ids(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, count, SHAPE).astype(np.uint8)


TABLES = {
    "commas": "id,name\n3,sky\n7,road\n9,box\n",
    "semicolons": "id;name\r\n3;sky\r\n7;road\r\n9;box\r\n",
    "tabs": "id\tname\n3\tsky\n7\troad\n9\tbox\n",
    "capitals": "ID,Name\n3,sky\n7,road\n9,box\n",
    "Roboflow": "Pixel Value, Class\n3, sky\n7, road\n9, box\n",
    "a byte order mark": "\ufeffid,name\n3,sky\n7,road\n9,box\n",
    "spaces": " id , name \n 3 , sky \n 7 , road \n 9 , box \n",
    "quotes": '"id","name"\n"3","sky"\n"7","road"\n"9","box"\n',
    "semicolons within quotes": 'id;name\n3;"sky"\n7;road\n9;box\n',
    "columns that say nothing": "id,name,supercategory,count\n3,sky,outdoor,5\n7,road,,\n9,box,,1\n",
    "lines of delimiters below": "id,name,\n3,sky,\n7,road,\n9,box,\n,,\n,,\n",
    "a blank line above": "\nid,name\n3,sky\n7,road\n9,box\n",
    "a spreadsheet's first line": "sep=;\nid;name\n3;sky\n7;road\n9;box\n",
    "another order": "name,id\nroad,7\nbox,9\nsky,3\n",
    "label and value": "Label;Value\nsky;3\nroad;7\nbox;9\n",
    "a class that is a number": "class,name\n3,sky\n7,road\n9,box\n",
    "underscores": "class_id,class_name\n3,sky\n7,road\n9,box\n",
}


@pytest.mark.parametrize("form", TABLES)
def test_a_table_of_classes_is_read_in_any_form(tmp_path: Path, form: str) -> None:
    ids = random_ids(3)
    dataset = folder(tmp_path, encoded(np.array([3, 7, 9], np.uint8)[ids]), TABLES[form])
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.classes == NAMES
    np.testing.assert_array_equal(label_of(dataset), ids)


def test_a_table_in_utf_16_is_read(tmp_path: Path) -> None:
    dataset = folder(tmp_path, encoded(random_ids(2)), "id\tname\n0\tStraße\n1\tWeg\n".encode("utf-16"))
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.classes == ("Straße", "Weg")


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^classes file .*: it is not text in UTF-8 .*: save it as UTF-8$"):
        folder(tmp_path, encoded(random_ids(2)), "id,name\n0,Straße\n".encode("latin-1"))


@pytest.mark.parametrize(
    "table",
    [
        "id,name,r,g,b\n0,sky,1,2,3\n1,road,4,5,6\n2,box,7,8,9\n",
        "ID;Name;R;G;B\n0;sky;1;2;3\n1;road;4;5;6\n2;box;7;8;9\n",
        "name,red,green,blue\nsky,1,2,3\nroad,4,5,6\nbox,7,8,9\n",
        "name,color\nsky,#010203\nroad,040506\nbox,#070809\n",
        'name;Colour\nsky;"1, 2, 3"\nroad;(4, 5, 6)\nbox;7 8 9\n',
    ],
)
def test_colours_are_stated_in_any_form(tmp_path: Path, table: str) -> None:
    palette = np.array([(1, 2, 3), (4, 5, 6), (7, 8, 9)], np.uint8)
    ids = random_ids(3)
    dataset = folder(tmp_path, encoded(palette[ids]), table)
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.palette == ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    np.testing.assert_array_equal(label_of(dataset), ids)


def test_a_label_map_of_cvat_states_colours(tmp_path: Path) -> None:
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nCat:48,112,32::\nDog:176,112,32::\n"
    ids = random_ids(3)
    masks = encoded(np.array([(0, 0, 0), (48, 112, 32), (176, 112, 32)], np.uint8)[ids])
    dataset = folder(tmp_path, masks, text, "classes.txt")
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.classes == ("background", "Cat", "Dog")
    np.testing.assert_array_equal(label_of(dataset), ids)


@settings(max_examples=40)
@given(st.lists(colors, min_size=2, max_size=40, unique=True), st.sampled_from(["8", "16", "spread"]), st.data())
def test_masks_of_colours_are_read_by_the_stated_ones(
    tmp_path_factory: pytest.TempPathFactory, palette: list[tuple[int, int, int]], depth: str, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("colours")
    alpha = data.draw(st.none() | st.integers(0, 255))
    ids = random_ids(len(palette), data.draw(st.integers(0, 99)))
    pixels = np.array(palette, np.uint8)[ids]
    if alpha is not None:
        pixels = np.dstack([pixels, np.full(SHAPE, alpha, np.uint8)])
    stored = {"8": pixels, "16": pixels.astype(np.uint16), "spread": pixels.astype(np.uint16) * 257}[depth]
    rows = [f"c{i},{red},{green},{blue}" for i, (red, green, blue) in enumerate(palette)]
    mask = png(stored, RGB if alpha is None else RGBA)
    np.testing.assert_array_equal(label_of(folder(root, mask, "\n".join(["name,r,g,b", *rows]))), ids)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PNG"])
def test_other_lossless_formats_hold_colours_too(tmp_path: Path, kind: str) -> None:
    ids = random_ids(2)
    mask = encoded(np.array([(0, 0, 0), (9, 8, 7)], np.uint8)[ids], kind)
    dataset = folder(tmp_path, mask, "name,r,g,b\nroad,0,0,0\ncar,9,8,7\n", suffix=kind.lower())
    np.testing.assert_array_equal(label_of(dataset), ids)


@pytest.mark.parametrize(("dtype", "factor"), [(np.uint8, 1), (np.uint16, 1), (np.uint16, 257)])
def test_colours_of_no_class_are_named_as_colours(tmp_path: Path, dtype: type, factor: int) -> None:
    pixels = np.zeros((*SHAPE, 3), dtype)
    pixels[0, :2] = 10 * factor, 20 * factor, 30 * factor
    dataset = folder(tmp_path, png(pixels, RGB), "id,name,r,g,b\n0,road,0,0,0\n1,car,9,8,7\n")
    said = (
        r"^unknown label colour: .*masks/train/a\.png has \(10, 20, 30\) \(2 pixels\): expected one of the 2 colours "
        r"of the classes; a row such as 255,void,R,G,B in the file of classes ignores a colour$"
    )
    with pytest.raises(RecordError, match=said):
        label_of(dataset)


def test_a_colour_of_16_bits_that_is_none_of_8_is_named_in_16(tmp_path: Path) -> None:
    pixels = np.full((*SHAPE, 3), 257, np.uint16)
    pixels[0, 0] = 1, 2, 60000
    with pytest.raises(
        RecordError, match=r"^unknown label colour: .* \(1, 2, 60000\), \(257, 257, 257\) \(54 pixels\)"
    ):
        label_of(folder(tmp_path, png(pixels, RGB), "name,r,g,b\nroad,1,1,1\n"))


def test_colours_are_refused_where_no_class_states_one(tmp_path: Path) -> None:
    pixels = np.zeros((*SHAPE, 3), np.uint8)
    pixels[0, 0] = 48, 112, 32
    with pytest.raises(
        RecordError, match=r"^unknown label colour: .*a\.png has \(0, 0, 0\), \(48, 112, 32\) .* r, g, b$"
    ):
        label_of(folder(tmp_path, encoded(pixels), "road\nsky\n", "classes.txt"))


def test_the_colour_of_ignored_pixels_is_ignored(tmp_path: Path) -> None:
    ids = random_ids(3)
    mask = encoded(np.array([(0, 0, 0), (9, 8, 7), (224, 224, 192)], np.uint8)[ids])
    dataset = folder(tmp_path, mask, "id,name,r,g,b\n0,road,0,0,0\n1,car,9,8,7\n255,void,224,224,192\n")
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.classes == ("road", "car")
    np.testing.assert_array_equal(label_of(dataset), np.where(ids == 2, 255, ids))


def test_a_colour_that_two_classes_share_is_refused_where_it_is_met(tmp_path: Path) -> None:
    pixels = np.zeros((*SHAPE, 3), np.uint8)
    pixels[0] = 9, 8, 7
    table = "name,r,g,b\nroad,0,0,0\ncar,9,8,7\nvan,9,8,7\n"
    with pytest.raises(RecordError, match=r"^ambiguous label colour: .*\(9, 8, 7\), the colour of car and van"):
        label_of(folder(tmp_path / "met", encoded(pixels), table))
    pixels[0] = 0
    assert not label_of(folder(tmp_path / "not met", encoded(pixels), table)).any()


@settings(max_examples=30)
@given(st.sampled_from([1, 3, 4]), st.booleans(), st.integers(0, 99))
def test_equal_channels_are_one(tmp_path_factory: pytest.TempPathFactory, channels: int, wide: bool, seed: int) -> None:
    root = tmp_path_factory.mktemp("grey")
    values = random_ids(3, seed).astype(np.uint16 if wide else np.uint8)
    stored = np.repeat(values[..., None], max(3, channels), axis=2) if channels > 1 else values[..., None]
    if channels != 3:
        stored[..., -1] = 77 if channels == 4 else stored[..., -1]
    if channels == 1:
        stored = np.dstack([stored, np.full_like(stored, 200)])
    mask = png(stored, {1: GREY_ALPHA, 3: RGB, 4: RGBA}[channels])
    np.testing.assert_array_equal(label_of(folder(root, mask, "sky\nroad\nbox\n", "classes.txt")), values)


def test_equal_channels_of_stated_greys_are_colours(tmp_path: Path) -> None:
    ids = random_ids(2)
    mask = encoded(np.repeat(np.array([0, 255], np.uint8)[ids][..., None], 3, axis=2))
    table = "name,r,g,b\nroad,0,0,0\ncar,255,255,255\n"
    np.testing.assert_array_equal(label_of(folder(tmp_path, mask, table)), ids)


def test_equal_channels_of_neither_values_nor_colours_are_named(tmp_path: Path) -> None:
    mask = encoded(np.full((*SHAPE, 3), 7, np.uint8))
    with pytest.raises(
        RecordError, match=r"^unknown label colour: .* \(7, 7, 7\) .* grey values are no ids, which are 0, 1$"
    ):
        label_of(folder(tmp_path, mask, "name,r,g,b\nroad,0,0,1\ncar,9,8,7\n"))


def test_what_is_one_class_by_its_id_and_another_by_its_colour_is_refused_where_both_are_stated(tmp_path: Path) -> None:
    mask = encoded(np.zeros((*SHAPE, 3), np.uint8))
    stated = "id,name,r,g,b\n0,road,128,64,128\n1,void,0,0,0\n"
    with pytest.raises(
        RecordError, match=r"^ambiguous label: .*a\.png has the value 0 in the colour \(0, 0, 0\), which"
    ):
        label_of(folder(tmp_path / "both", mask, stated))
    colours_alone = "name,r,g,b\ncat,128,64,128\nbackground,0,0,0\n"
    assert (label_of(folder(tmp_path / "colours", mask, colours_alone)) == 1).all()


def test_a_palette_keeps_its_indices_whatever_its_colours(tmp_path: Path) -> None:
    ids = random_ids(3)
    file = Image.fromarray(ids, mode="P")
    file.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    for kind in ("PNG", "GIF"):
        out = io.BytesIO()
        file.save(out, kind)
        dataset = folder(tmp_path / kind, out.getvalue(), "id,name,r,g,b\n0,sky,1,1,1\n1,road,2,2,2\n2,box,3,3,3\n")
        np.testing.assert_array_equal(label_of(dataset), ids)


def test_a_palette_whose_indices_are_no_ids_is_read_by_its_colours(tmp_path: Path) -> None:
    ids = random_ids(2)
    file = Image.fromarray(ids, mode="P")
    file.putpalette([9, 9, 9, 200, 0, 0])
    out = io.BytesIO()
    file.save(out, "PNG")
    table = "id,name,r,g,b\n10,sky,9,9,9\n20,road,200,0,0\n"
    np.testing.assert_array_equal(label_of(folder(tmp_path, out.getvalue(), table)), ids)


def test_masks_with_transparent_parts_are_refused(tmp_path: Path) -> None:
    pixels = np.zeros((*SHAPE, 4), np.uint8)
    pixels[0, 0] = 48, 112, 32, 255
    with pytest.raises(RecordError, match=r"^wrong label mode: .*RGBA with an alpha channel of 0\.\.255: expected"):
        label_of(folder(tmp_path, encoded(pixels), "name,r,g,b\nroad,0,0,0\ncar,48,112,32\n"))


def test_an_id_that_is_stated_wins_over_the_default_of_ignored_pixels(tmp_path: Path) -> None:
    ids = random_ids(2)
    mask = encoded(np.array([0, 255], np.uint8)[ids])
    dataset = folder(tmp_path / "a", mask, "id,name\n0,background\n255,object\n")
    assert dataset.taxonomy is not None
    assert (dataset.taxonomy.classes, dataset.taxonomy.ignore_index) == (("background", "object"), 255)
    np.testing.assert_array_equal(label_of(dataset), ids)
    json_set = folder(tmp_path / "b", mask, '[{"id": 0, "name": "bg"}, {"id": 255, "name": "object"}]', "classes.json")
    np.testing.assert_array_equal(label_of(json_set), ids)
    said = r"^classes file .*: it gives 'object' the id 255, which dataset\.folder\.ignore_index=255 ignores: leave out"
    with pytest.raises(UserError, match=said):
        open_dataset("folder", tmp_path / "a", FolderOptions(ignore_index=255))
    other = open_dataset("folder", tmp_path / "a", FolderOptions(ignore_index=7))
    np.testing.assert_array_equal(label_of(other), ids)


@pytest.mark.parametrize("name", ["void", "Ignore", "ignored", "unlabeled", "unlabelled", "don't care", "_void_"])
@pytest.mark.parametrize("stated", [None, 255])
def test_an_id_that_is_stated_for_no_class_is_ignored(tmp_path: Path, name: str, stated: int | None) -> None:
    ids = random_ids(3)
    folder(tmp_path, encoded(np.array([0, 1, 255], np.uint8)[ids]), f"id,name\n0,road\n1,sky\n255,{name}\n")
    dataset = open_dataset("folder", tmp_path, FolderOptions(ignore_index=stated))
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.classes == ("road", "sky")
    np.testing.assert_array_equal(label_of(dataset), np.where(ids == 2, 255, ids))


@pytest.mark.parametrize(
    "column", ["Mask Value", "number", "gray", "grey value", "code", "idx", "train_id", "trainId", "label value", "Nr"]
)
def test_ids_are_read_by_whatever_name_people_give_them(tmp_path: Path, column: str) -> None:
    ids = random_ids(3)
    dataset = folder(tmp_path, encoded(ids), f"{column},Name\n2,box\n0,sky\n1,road\n")
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.classes == NAMES
    np.testing.assert_array_equal(label_of(dataset), ids)


@pytest.mark.parametrize("column", ["", "Unnamed: 0", "Wert", "count"])
def test_numbers_that_may_be_ids_are_refused(tmp_path: Path, column: str) -> None:
    said = rf"its column '{column}' holds 2 for class 'box', which may be its value in the masks: call the column"
    with pytest.raises(UserError, match=said):
        folder(tmp_path, encoded(random_ids(3)), f"{column},Name\n2,box\n0,sky\n1,road\n")


def test_columns_that_are_no_ids_are_passed_over(tmp_path: Path) -> None:
    table = ",name,alpha,code,isthing\n0,sky,255,SK,0\n1,road,255,RD,0\n2,box,255,BX,1\n"
    ids = random_ids(3)
    np.testing.assert_array_equal(label_of(folder(tmp_path, encoded(ids), table)), ids)


def test_the_values_of_pixels_count_before_ids(tmp_path: Path) -> None:
    table = "id,name,pixel value\n0,sky,2\n1,road,0\n2,box,1\n"
    dataset = folder(tmp_path, encoded(random_ids(3)), table)
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.classes == ("road", "box", "sky")


def test_a_class_that_is_a_number_is_not_the_name(tmp_path: Path) -> None:
    dataset = folder(tmp_path, encoded(random_ids(3)), "class,label\n2,box\n0,sky\n1,road\n")
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.classes == NAMES


@pytest.mark.parametrize(
    "text",
    [
        "2: box\n0: sky\n1: road\n",
        "2 box\n0 sky\n1 road\n",
        "box,2\nsky,0\nroad,1\n",
        "2. box\n0. sky\n1. road\n",
        "id,name\n2,box\n0,sky\n1,road\n",
        "# classes\nsky\nroad\nbox\n",
    ],
)
def test_lines_with_ids_are_read_by_them(tmp_path: Path, text: str) -> None:
    ids = random_ids(3)
    dataset = folder(tmp_path, encoded(ids), text, "classes.txt")
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.classes == NAMES
    np.testing.assert_array_equal(label_of(dataset), ids)


def test_lines_with_colours_are_read_by_them(tmp_path: Path) -> None:
    ids = random_ids(2)
    pixels = np.array([(64, 128, 64), (9, 8, 7)], np.uint8)[ids]
    np.testing.assert_array_equal(
        label_of(folder(tmp_path, encoded(pixels), "64 128 64\tAnimal\n9 8 7\t\tCar\n", "classes.txt")), ids
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0: sky\nroad\nbox\n", "its line '0: sky' holds numbers beside a name: write classes.csv"),
        ("sky 0\nroad 1\n", "its line 'sky 0' holds numbers beside a name"),
        ("id name\n0 sky\n1 road\n", "its line '0 sky' holds numbers beside a name"),
        ("sky\n#road\nbox\n", "its line '#road' is a comment among classes: delete it"),
        ("name\nsky\nroad\n", "its first line is 'name', which is a header: delete it"),
    ],
)
def test_lines_of_several_forms_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=f"^classes file .*: {said}"):
        folder(tmp_path, encoded(random_ids(2)), text, "classes.txt")


@pytest.mark.parametrize("names", [("lane 1", "lane 2"), ("car", "2 wheeler", "bus"), ("signboard, sign", "bed, bunk")])
def test_numbers_and_commas_within_names_stay(tmp_path: Path, names: tuple[str, ...]) -> None:
    dataset = folder(tmp_path, encoded(random_ids(2)), "\n".join(names), "classes.txt")
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.classes == names


@pytest.mark.parametrize("number", ["0.7", "1.9", "true", '"1_0"', "null"])
def test_an_id_that_is_no_whole_number_is_refused(tmp_path: Path, number: str) -> None:
    text = f'[{{"id": {number}, "name": "sky"}}, {{"id": 5, "name": "road"}}]'
    with pytest.raises(UserError, match=r"class 'sky' has id=.*: expected a whole number$"):
        folder(tmp_path, encoded(random_ids(2)), text, "classes.json")
