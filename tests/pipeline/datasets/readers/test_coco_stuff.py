"""The COCO-Stuff reader, pixel by pixel, and its captions and boxes against those of pycocotools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from s3fs import S3FileSystem

from augment.errors import UserError
from pipeline.datasets import RecordError, open_dataset
from pipeline.taxonomies import COCO_STUFF
from tests.pipeline.datasets.trees import random_image, save
from tests.pipeline.datasets.trees_sets import save_jpeg, write_coco_annotations

SHAPE = (172, 4)
# Categories of things that were never annotated, as their owner lists them.
ABSENT = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91}
RAW_IDS = [category - 1 for category in range(1, 183) if category not in ABSENT]
NAMES = ("000000000009", "000000000025", "000000000030")
CAPTIONS = [(25, "Two giraffes.\n"), (9, "Broccoli  and rice."), (25, "A tree – and giraffes"), (9, "Food.")]
OBJECTS = [
    (25, 3, (0.5, 1.25, 2.0, 100.75), 0),
    (9, 1, (0.0, 0.0, 4.0, 172.0), 1),
    (25, 1, (1.0, 1.0, 1.5, 2.0), 0),
]


@pytest.fixture
def image() -> np.ndarray:
    return random_image(np.random.default_rng(0), *SHAPE)


@pytest.fixture
def raw_ids() -> np.ndarray:
    """Every id of stuffthingmaps, one a row, and unlabelled pixels."""
    return np.repeat(np.array([*RAW_IDS, 255], np.uint8)[:, None], SHAPE[1], axis=1)


@pytest.fixture
def root(tmp_path: Path, image: np.ndarray, raw_ids: np.ndarray) -> Path:
    """Three images as the archives unpack, one of them grey and one without captions and boxes."""
    for name in NAMES:
        save_jpeg(tmp_path / "train2017" / f"{name}.jpg", image, "L" if name == NAMES[1] else "RGB")
        save(tmp_path / "stuffthingmaps_trainval2017" / "train2017" / f"{name}.png", raw_ids)
    write_coco_annotations(tmp_path, "train2017", {int(name): SHAPE for name in NAMES}, CAPTIONS, OBJECTS)
    return tmp_path


def test_raw_ids_become_the_171_classes(root: Path) -> None:
    dataset = open_dataset("coco-stuff", root)
    frame = dataset.load(dataset.records("train")[0])
    assert frame.label is not None
    np.testing.assert_array_equal(frame.label[:, 0], [*range(171), 255])
    assert (frame.label == frame.label[:, :1]).all()
    assert dataset.taxonomy == COCO_STUFF


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_photographs_are_rgb(tmp_path: Path, image: np.ndarray, raw_ids: np.ndarray, mode: str) -> None:
    stored = save_jpeg(tmp_path / "val2017" / "000000000001.jpg", image, mode)
    save(tmp_path / "stuffthingmaps_trainval2017" / "val2017" / "000000000001.png", raw_ids)
    dataset = open_dataset("coco-stuff", tmp_path)
    np.testing.assert_array_equal(dataset.load(dataset.records("val")[0]).image, stored)


def test_captions_and_boxes_are_those_of_pycocotools(root: Path) -> None:
    records = {int(record.key[-12:]): record for record in open_dataset("coco-stuff", root).records("train")}
    captions = COCO(root / "annotations/captions_train2017.json")
    objects = COCO(root / "annotations/instances_train2017.json")
    assert sorted(records) == sorted(objects.getImgIds())
    for number, record in records.items():
        texts = captions.loadAnns(captions.getAnnIds(imgIds=[number]))
        assert list(record.captions) == [" ".join(text["caption"].split()) for text in texts]
        things = objects.loadAnns(objects.getAnnIds(imgIds=[number], iscrowd=False))
        assert [(box.category, [box.left, box.top, box.width, box.height]) for box in record.boxes] == [
            (objects.loadCats(thing["category_id"])[0]["name"], thing["bbox"]) for thing in things
        ]
    assert (len(records[25].captions), len(records[25].boxes)) == (2, 2)
    assert (records[9].boxes, records[30].captions) == ((), ())


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images/train2017", "annotations/train2017"),
        ("images/train2017", "stuffthingmaps/train2017"),
        ("images/train2017", "train2017"),
        ("train2017", "train2017"),
    ],
)
def test_images_and_labels_may_lie_where_people_unpack_them(
    tmp_path: Path, image: np.ndarray, raw_ids: np.ndarray, images: str, labels: str
) -> None:
    save_jpeg(tmp_path / images / "000000000009.jpg", image)
    save(tmp_path / labels / "000000000009.png", raw_ids)
    dataset = open_dataset("coco-stuff", tmp_path)
    [record] = dataset.records("train")
    assert (record.image, record.label) == (f"{images}/000000000009.jpg", f"{labels}/000000000009.png")


def test_converted_train_ids_serve_as_well(tmp_path: Path, image: np.ndarray) -> None:
    train_ids = np.repeat(np.array([*range(171), 255], np.uint8)[:, None], SHAPE[1], axis=1)
    save_jpeg(tmp_path / "images/val2017/000000000009.jpg", image)
    save(tmp_path / "annotations/val2017/000000000009_labelTrainIds.png", train_ids)
    dataset = open_dataset("coco-stuff", tmp_path)
    label = dataset.load(dataset.records("val")[0]).label
    assert label is not None
    np.testing.assert_array_equal(label, train_ids)


def test_test_and_unlabeled_images_need_no_label(root: Path, image: np.ndarray) -> None:
    for split in ("test2017", "unlabeled2017"):
        save_jpeg(root / split / "000000000001.jpg", image)
    dataset = open_dataset("coco-stuff", root)
    assert dataset.splits() == ["test", "train", "unlabeled"]
    for split in ("test", "unlabeled"):
        assert dataset.load(dataset.records(split)[0]).label is None


def test_the_bucket_gives_what_the_folder_gives(root: Path, bucket: str) -> None:
    S3FileSystem().put(str(root), f"{bucket}/coco", recursive=True)
    here, there = open_dataset("coco-stuff", root), open_dataset("coco-stuff", f"{bucket}/coco")
    records = there.records("train")
    assert records == here.records("train")
    assert records[1].captions
    mine, other = here.load(records[1]), there.load(records[1])
    np.testing.assert_array_equal(mine.image, other.image)
    assert mine.label is not None
    assert other.label is not None
    np.testing.assert_array_equal(mine.label, other.label)


@pytest.mark.parametrize("wrong", [182, 11], ids=["too large", "never annotated"])
def test_an_id_that_is_no_class_is_reported_with_its_file(root: Path, raw_ids: np.ndarray, wrong: int) -> None:
    raw_ids[0, :2] = wrong
    save(root / "stuffthingmaps_trainval2017/train2017" / f"{NAMES[0]}.png", raw_ids)
    dataset = open_dataset("coco-stuff", root)
    with pytest.raises(
        RecordError,
        match=rf"^unknown label id: .*{NAMES[0]}\.png has ids \[{wrong}\] \(2 pixels\): expected 0\.\.10, 12",
    ):
        dataset.load(dataset.records("train")[0])


def test_what_is_missing_is_counted(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    (empty / "zips").mkdir()
    with pytest.raises(UserError, match=r"is not a COCO-Stuff folder: expected train2017/\*\.jpg or .*found zips/$"):
        open_dataset("coco-stuff", empty)
    dataset = open_dataset("coco-stuff", root)
    labels = root / "stuffthingmaps_trainval2017/train2017"
    (labels / f"{NAMES[2]}.png").unlink()
    with pytest.raises(
        UserError, match=rf"1 of its images have no label: .*found 3 images and 2 labels.*{NAMES[2]}\.jpg"
    ):
        dataset.records("train")
    for name in NAMES[1:]:
        (root / "train2017" / f"{name}.jpg").unlink()
    with pytest.raises(
        UserError, match=rf"1 of its labels have no image: .*found 1 images and 2 labels.*{NAMES[1]}\.png"
    ):
        dataset.records("train")


def test_broken_annotations_are_reported_with_their_file(root: Path) -> None:
    file = root / "annotations/captions_train2017.json"
    whole = file.read_text()
    dataset = open_dataset("coco-stuff", root)
    for content, fault in (
        (whole[:-40], "damaged JSON: .*captions_train2017.json: Input data was truncated"),
        ("", "damaged JSON: .*captions_train2017.json: it has no bytes"),
        (whole.replace('caption"', 'text"'), r"unexpected JSON: .*json: Object missing required field `caption`"),
        (
            whole.replace('"id": 25,', '"id": 26,'),
            r"unexpected JSON: .*json: an annotation refers to the unknown id 25",
        ),
    ):
        file.write_text(content)
        with pytest.raises(UserError, match=f"^{fault}"):
            dataset.records("train")
