"""Plain folders: images alone, images with masks, and what is said of those that are not as they should be."""

from __future__ import annotations

import json
import pickle
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from augment.errors import UserError
from pipeline.datasets import FolderOptions, RecordError, open_dataset
from pipeline.taxonomies import CITYSCAPES
from pipeline.taxonomies.user import taxonomy_to_json
from tests.pipeline.datasets.trees import random_image, save, write_folder_image

HEIGHT, WIDTH = 6, 8


@pytest.fixture
def image() -> np.ndarray:
    return random_image(np.random.default_rng(0), HEIGHT, WIDTH)


@pytest.fixture
def mask() -> np.ndarray:
    """The values 0..2 and 255."""
    return np.random.default_rng(1).choice(np.array([0, 1, 2, 255], np.uint8), (HEIGHT, WIDTH))


def labelled(root: Path, image: np.ndarray, mask: np.ndarray, classes: str = "road\nsky\ncar\n") -> Path:
    write_folder_image(root, "train", "a.png", image, mask)
    (root / "classes.txt").write_text(classes)
    return root


def test_names_that_differ_only_in_what_a_key_cannot_hold_stay_apart(tmp_path: Path, image: np.ndarray) -> None:
    for name in ("a b.png", "a+b.png", "a-b.png"):
        write_folder_image(tmp_path, "train", name, image)
    records = open_dataset("folder", tmp_path).records("train")
    assert len({record.key for record in records}) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", record.key) for record in records)


def test_folders_of_masks_and_of_instances_beside_those_of_splits_are_no_splits(
    tmp_path: Path, image: np.ndarray, mask: np.ndarray
) -> None:
    for folder, array in (("train", image), ("masks/train", mask), ("instances/train", mask)):
        save(tmp_path / folder / "a.png", array)
    (tmp_path / "classes.txt").write_text("road\nsky\ncar\n")
    assert open_dataset("folder", tmp_path, FolderOptions(images="{split}")).splits() == ["train"]


def test_images_alone_are_a_set_without_labels(tmp_path: Path, image: np.ndarray) -> None:
    for name in ("b.png", "a.JPG", "town/a.webp", "town/é 1.tif"):
        write_folder_image(tmp_path, "train", name, image)
    (tmp_path / "images/train/notes.txt").touch()
    (tmp_path / "images/train/.hidden.png").touch()
    write_folder_image(tmp_path, "val", "a.png", image)
    dataset = open_dataset("folder", tmp_path)
    assert (dataset.taxonomy, dataset.splits()) == (None, ["train", "val"])
    records = dataset.records("train")
    assert len({record.key for record in records}) == 4
    assert sorted(record.image for record in records) == [
        "images/train/a.JPG",
        "images/train/b.png",
        "images/train/town/a.webp",
        "images/train/town/é 1.tif",
    ]
    [first] = [record for record in records if record.key == "train_b"]
    frame = dataset.load(first)
    np.testing.assert_array_equal(frame.image, image)
    assert (frame.label, frame.instances, first.attributes) == (None, None, {"medium": "photo"})


def test_masks_hold_the_values_of_the_classes(tmp_path: Path, image: np.ndarray, mask: np.ndarray) -> None:
    objects = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 300
    write_folder_image(tmp_path, "train", "town/a.jpg", image, mask, objects)
    (tmp_path / "classes.txt").write_text("road\n sky \ncar\n\n")
    dataset = pickle.loads(pickle.dumps(open_dataset("folder", tmp_path)))
    assert dataset.taxonomy.classes == ("road", "sky", "car")
    [record] = dataset.records("train")
    assert (record.label, record.instances) == ("masks/train/town/a.png", "instances/train/town/a.png")
    frame = dataset.load(record)
    assert frame.label.dtype == np.uint8
    np.testing.assert_array_equal(frame.label, mask)
    np.testing.assert_array_equal(frame.instances, objects)


def test_a_palette_file_gives_its_indices(tmp_path: Path, image: np.ndarray, mask: np.ndarray) -> None:
    labelled(tmp_path, image, mask)
    palette = Image.fromarray(mask).convert("P")
    palette.putpalette([value for number in range(256) for value in (number, 0, 255 - number)])
    palette.save(tmp_path / "masks/train/a.png")
    dataset = open_dataset("folder", tmp_path)
    np.testing.assert_array_equal(dataset.load(dataset.records("train")[0]).label, mask)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.csv", "id,name,r,g,b\n40,car,0,0,142\n7, road,128,64,128\n23,sky,70,130,180\n"),
        (
            "classes.json",
            json.dumps(
                [
                    {"id": 7, "name": "road", "r": 128, "g": 64, "b": 128},
                    {"id": 23, "name": "sky", "r": 70, "g": 130, "b": 180},
                    {"id": 40, "name": "car", "r": 0, "g": 0, "b": 142},
                ]
            ),
        ),
    ],
)
def test_ids_may_have_gaps_and_colours_are_kept(
    tmp_path: Path, image: np.ndarray, mask: np.ndarray, name: str, content: str
) -> None:
    values = np.array([7, 23, 40], np.uint8)
    write_folder_image(tmp_path, "train", "a.png", image, np.where(mask < 255, values[mask % 255 % 3], 255))
    (tmp_path / name).write_text(content)
    dataset = open_dataset("folder", tmp_path)
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.classes == ("road", "sky", "car")
    assert dataset.taxonomy.palette == ((128, 64, 128), (70, 130, 180), (0, 0, 142))
    np.testing.assert_array_equal(dataset.load(dataset.records("train")[0]).label, mask)


def test_a_taxonomy_that_was_written_as_json_is_read_whole(tmp_path: Path, image: np.ndarray, mask: np.ndarray) -> None:
    write_folder_image(tmp_path, "train", "a.png", image, mask)
    (tmp_path / "classes.json").write_text(json.dumps(taxonomy_to_json(CITYSCAPES)))
    assert open_dataset("folder", tmp_path).taxonomy == CITYSCAPES


def test_the_value_that_is_stated_is_ignored_and_its_class_is_none(
    tmp_path: Path, image: np.ndarray, mask: np.ndarray
) -> None:
    mask[mask == 255] = 0
    labelled(tmp_path, image, mask, "void\nroad\nsky\n")
    dataset = open_dataset("folder", tmp_path, FolderOptions(ignore_index=0))
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.classes == ("road", "sky")
    label = dataset.load(dataset.records("train")[0]).label
    np.testing.assert_array_equal(label, np.array([255, 0, 1], np.uint8)[mask])


def test_many_classes_have_16_bits(tmp_path: Path, image: np.ndarray) -> None:
    mask = np.array([[0, 255, 256, 299, 65535]], np.uint16).repeat(2, axis=0)
    write_folder_image(tmp_path, "train", "a.png", image[:2, :5], mask)
    (tmp_path / "classes.txt").write_text("\n".join(f"class {number}" for number in range(300)))
    dataset = open_dataset("folder", tmp_path)
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.ignore_index == 65535
    label = dataset.load(dataset.records("train")[0]).label
    assert label is not None
    assert label.dtype == np.uint16
    np.testing.assert_array_equal(label, mask)


@pytest.mark.parametrize(
    ("options", "image_path", "mask_path"),
    [
        (FolderOptions(images="{split}", masks="{split}_labels"), "train/a.png", "train_labels/a.png"),
        (FolderOptions(images="{split}", masks="masks/{split}"), "train/a.png", "masks/train/a.png"),
        (FolderOptions(images="{split}/images", masks="{split}/masks"), "train/images/a.jpg", "train/masks/a.png"),
        (FolderOptions(images="img_{split}/all", masks="ann_{split}"), "img_train/all/a.jpg", "ann_train/a.png"),
        (FolderOptions(images="JPEGImages", masks="SegmentationClass"), "JPEGImages/a.jpg", "SegmentationClass/a.png"),
        (FolderOptions(images=".", masks="masks"), "a.png", "masks/a.png"),
        (FolderOptions(images=".", masks=".", mask_suffix="_mask"), "town/a.png", "town/a_mask.png"),
        (
            FolderOptions(images="images/{split}", masks="masks/{split}", classes="meta/names.txt"),
            "images/train/a.png",
            "masks/train/a.png",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_things_may_lie_elsewhere(
    tmp_path: Path, image: np.ndarray, mask: np.ndarray, options: FolderOptions, image_path: str, mask_path: str
) -> None:
    save(tmp_path / image_path, image)
    save(tmp_path / mask_path, mask)
    classes = tmp_path / (options.classes or "classes.txt")
    classes.parent.mkdir(exist_ok=True)
    classes.write_text("road\nsky\ncar")
    if not options.images.endswith("{split}"):
        (tmp_path / options.images.partition("/")[0].replace("{split}", "other")).mkdir(exist_ok=True)
    dataset = open_dataset("folder", tmp_path, options)
    assert dataset.splits() == ["train"]
    [record] = dataset.records("train")
    assert (record.image, record.label) == (image_path, mask_path)
    np.testing.assert_array_equal(dataset.load(record).label, mask)


def test_a_split_without_a_folder_of_masks_is_unlabelled(tmp_path: Path, image: np.ndarray, mask: np.ndarray) -> None:
    labelled(tmp_path, image, mask)
    write_folder_image(tmp_path, "extra", "b.png", image)
    dataset = open_dataset("folder", tmp_path)
    assert dataset.records("extra")[0].label is None
    assert dataset.records("train")[0].label is not None


@pytest.mark.parametrize(("there", "lacking"), [("train", "val"), ("val", "train")])
def test_masks_that_a_usual_split_lacks_are_missing(
    tmp_path: Path, image: np.ndarray, mask: np.ndarray, there: str, lacking: str
) -> None:
    write_folder_image(tmp_path, there, "a.png", image, mask)
    write_folder_image(tmp_path, lacking, "b.png", image)
    (tmp_path / "classes.txt").write_text("road\nsky\ncar\n")
    with pytest.raises(
        UserError, match=rf"1 of its images .*masks/{lacking}/.*, found 1 images and 0 .*partly_labelled=true"
    ):
        open_dataset("folder", tmp_path).records(lacking)
    records = open_dataset("folder", tmp_path, FolderOptions(partly_labelled=True)).records(lacking)
    assert [record.label for record in records] == [None]


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("where", ["masks", "masks/training"])
def test_masks_that_belong_to_no_split_are_reported(
    tmp_path: Path, image: np.ndarray, mask: np.ndarray, where: str, classes: bool
) -> None:
    write_folder_image(tmp_path, "train", "a.png", image)
    save(tmp_path / where / "a.png", mask)
    if classes:
        (tmp_path / "classes.txt").write_text("road\n")
    found = "a.png" if where == "masks" else "training/"
    with pytest.raises(
        UserError, match=rf"but no masks: expected .*/masks/<split>/.* the splits train, found {found}$"
    ):
        open_dataset("folder", tmp_path)


def test_a_part_of_a_split_is_labelled_only_where_that_is_stated(
    tmp_path: Path, image: np.ndarray, mask: np.ndarray
) -> None:
    labelled(tmp_path, image, mask)
    write_folder_image(tmp_path, "train", "b.png", image)
    with pytest.raises(
        UserError, match=r"1 of its images have no label: .*masks/train/.*, found 2 images and 1 labels"
    ):
        open_dataset("folder", tmp_path).records("train")
    records = open_dataset("folder", tmp_path, FolderOptions(partly_labelled=True)).records("train")
    assert [record.label for record in records] == ["masks/train/a.png", None]
    (tmp_path / "images/train/a.png").unlink()
    for options in (FolderOptions(), FolderOptions(partly_labelled=True)):
        with pytest.raises(UserError, match=r"labels have no image: expected .*images/train/|images have no label"):
            open_dataset("folder", tmp_path, options).records("train")


@pytest.mark.parametrize("value", [3, 254])
def test_a_value_beyond_the_list_is_reported_with_its_file(
    tmp_path: Path, image: np.ndarray, mask: np.ndarray, value: int
) -> None:
    mask[0, :2] = value
    dataset = open_dataset("folder", labelled(tmp_path, image, mask))
    message = (
        rf"^unknown label id: .*masks/train/a\.png has ids \[{value}\] \(2 pixels\): expected 0\.\.2, 255; "
        r"give it a class of its own in classes\.csv \(columns id and name\), or set dataset\.folder\.ignore_index "
        r"to it where it is no class$"
    )
    with pytest.raises(RecordError, match=message):
        dataset.load(dataset.records("train")[0])


@pytest.mark.parametrize("part", ["mask", "instances"])
def test_annotations_of_other_sizes_fail(tmp_path: Path, image: np.ndarray, mask: np.ndarray, part: str) -> None:
    objects = np.zeros((HEIGHT, WIDTH), np.uint16)
    arrays = {"mask": mask, "instances": objects} | {part: np.zeros((HEIGHT, WIDTH - 1), np.uint8)}
    write_folder_image(tmp_path, "train", "a.png", image, **arrays)
    (tmp_path / "classes.txt").write_text("road\nsky\ncar\n")
    dataset = open_dataset("folder", tmp_path)
    with pytest.raises(RecordError, match=r"^size mismatch: .*images/train/a\.png is 6x8 .* a\.png is 6x7$"):
        dataset.load(dataset.records("train")[0])


def test_a_mask_of_the_pixels_before_they_are_turned_is_reported_with_the_reason(
    tmp_path: Path, image: np.ndarray, mask: np.ndarray
) -> None:
    dataset = open_dataset("folder", labelled(tmp_path, image, mask))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(image).save(tmp_path / "images" / "train" / "a.png", exif=exif)
    with pytest.raises(RecordError, match=r"a\.png is 8x6 .* a\.png is 6x8: EXIF orientation may be why; .* upright"):
        dataset.load(dataset.records("train")[0])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classes.txt", "\n \n", "names no class"),
        ("classes.txt", "road\n\ncar\n", "class 2 of 3 has no name"),
        ("classes.txt", "road\nroad\n", "two classes are called 'road'"),
        (
            "classes.csv",
            "id,title\n0,road\n",
            r"its columns are 'id', 'title': expected name and, where stated, id and r",
        ),
        ("classes.csv", "0,road\n1,sky\n", "its columns are '0', 'road': expected name and"),
        ("classes.csv", "name,r,g\nroad,1,2\n", "its columns are 'name', 'r', 'g': give all of r, g and b, or none"),
        ("classes.csv", "id,name\n0,car, van\n", "row 2 has 3 fields and the header 2: quote what holds ','"),
        ("classes.csv", "id,name,color\n0,road,green\n", "class 'road' has the colour .*: expected #RRGGBB or three"),
        ("classes.json", '[{"id": 1, "title": "road"}]', "its columns are 'id', 'title': expected name"),
        ("classes.csv", "id,name\nx,road\n", "class 'road' has id='x': expected a whole number"),
        ("classes.csv", "id,name\n1,road\n1,sky\n", "two of its 2 classes have the same id"),
        ("classes.csv", "id,name\n70000,road\n", r"class 'road' has the id 70000: expected 0\.\.65535"),
        ("classes.csv", "id,name,r,g,b\n0,road,1,2,\n", "class 'road' has b='': expected a whole number"),
        ("classes.csv", "id,name,r,g,b\n0,road,1,2,300\n", r"colour \(1, 2, 300\) is not of values 0\.\.255"),
        ("classes.json", "{", "Expecting property name"),
        ("classes.json", '["road"]', 'expected an object with "classes", or a list of objects'),
        ("classes.json", '{"names": ["road"]}', 'expected a JSON object with "classes"'),
        ("classes.json", '{"classes": ["road"], "colours": []}', "has no 'colours'"),
    ],
)
def test_a_broken_file_of_classes_is_reported_in_one_line(
    tmp_path: Path, image: np.ndarray, mask: np.ndarray, name: str, content: str, message: str
) -> None:
    write_folder_image(tmp_path, "train", "a.png", image, mask)
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=rf"^classes file .*/{name}: .*{message}") as error:
        open_dataset("folder", tmp_path)
    assert "\n" not in str(error.value)


def test_masks_and_classes_come_together(tmp_path: Path, image: np.ndarray, mask: np.ndarray) -> None:
    write_folder_image(tmp_path, "train", "a.png", image, mask)
    with pytest.raises(
        UserError, match=r"has masks but no file of their classes: .*classes\.txt, classes\.csv or classes\.json"
    ):
        open_dataset("folder", tmp_path)
    with pytest.raises(UserError, match=r"classes file .*/names\.txt does not exist"):
        open_dataset("folder", tmp_path, FolderOptions(classes="names.txt"))
    (tmp_path / "classes.txt").write_text("road\n")
    (tmp_path / "classes.csv").write_text("name\nroad\n")
    with pytest.raises(UserError, match=r"has classes\.txt and classes\.csv: keep one"):
        open_dataset("folder", tmp_path)
    (tmp_path / "classes.csv").unlink()
    (tmp_path / "masks").rename(tmp_path / "elsewhere")
    with pytest.raises(
        UserError,
        match=r"a file of classes but no masks: expected .*/masks/<split>/\*\*\.png for .*, found classes\.txt",
    ):
        open_dataset("folder", tmp_path)


def test_wrong_roots_and_splits_say_what_was_expected_where(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: it should hold images/<split>/\*\*"):
        open_dataset("folder", tmp_path / "nowhere")
    save(tmp_path / "train" / "a.png", image)
    with pytest.raises(UserError, match=r"expected images/<split>/\*\*, found train/; .*set dataset\.folder\.images"):
        open_dataset("folder", tmp_path)
    dataset = open_dataset("folder", tmp_path, FolderOptions(images="{split}"))
    with pytest.raises(UserError, match=r"no split 'val': expected .*/val, but .* has the splits train$"):
        dataset.records("val")
    (tmp_path / "train" / "a.png").unlink()
    with pytest.raises(
        UserError, match=r"split 'train' has no image: expected .*/train/\*\*/\*\.png or \*\.jpg, found"
    ):
        dataset.records("train")


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path, image: np.ndarray, mask: np.ndarray) -> None:
    for name, text in (("classes.txt", "road\nsky\ncar\n"), ("classes.csv", "name\nroad\nsky\ncar\n")):
        labelled(tmp_path / name, image, mask)
        (tmp_path / name / "classes.txt").unlink()
        (tmp_path / name / name).write_text(text, encoding="utf-8-sig")
        taxonomy = open_dataset("folder", tmp_path / name).taxonomy
        assert taxonomy is not None
        assert taxonomy.classes == ("road", "sky", "car")


def test_masks_are_found_whichever_way_their_names_spell_accents(
    tmp_path: Path, image: np.ndarray, mask: np.ndarray
) -> None:
    composed, apart = (unicodedata.normalize(form, "Straße ä") for form in ("NFC", "NFD"))
    save(tmp_path / "images" / "train" / f"{composed}.png", image)
    save(tmp_path / "masks" / "train" / f"{apart}.png", mask)
    (tmp_path / "classes.txt").write_text("road\nsky\ncar\n")
    dataset = open_dataset("folder", tmp_path)
    np.testing.assert_array_equal(dataset.load(dataset.records("train")[0]).label, mask)


def test_an_image_of_a_nested_folder_is_missed_by_its_path(tmp_path: Path, image: np.ndarray, mask: np.ndarray) -> None:
    save(labelled(tmp_path, image, mask) / "images" / "train" / "town" / "b.png", image)
    save(tmp_path / "masks" / "train" / "b.png", mask)
    with pytest.raises(UserError, match=r"the first without is images/train/town/b\.png; where they have none"):
        open_dataset("folder", tmp_path).records("train")


def test_masks_may_lie_beside_their_images(tmp_path: Path, image: np.ndarray, mask: np.ndarray) -> None:
    for split in ("train", "val"):
        save(tmp_path / split / "a.png", image)
        save(tmp_path / split / "a_mask.png", mask)
    (tmp_path / "classes.txt").write_text("road\nsky\ncar\n")
    dataset = open_dataset("folder", tmp_path, FolderOptions(images="{split}", masks="{split}", mask_suffix="_mask"))
    assert dataset.splits() == ["train", "val"]
    [record] = dataset.records("val")
    assert (record.image, record.label) == ("val/a.png", "val/a_mask.png")
