"""The BDD100K reader, both subsets, pixel by pixel."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.errors import UserError
from augment.prompts import TIMES_OF_DAY, WEATHERS
from pipeline.datasets import Box, RecordError, open_dataset
from pipeline.datasets.readers import bdd100k
from pipeline.taxonomies import CITYSCAPES
from tests.pipeline.datasets.trees import random_image, save
from tests.pipeline.datasets.trees_sets import bdd100k_frame, write_bdd100k_image, write_json

SHAPE = (20, 16)
NIGHT = {"weather": "rainy", "scene": "gas stations", "timeofday": "night"}
UNCLEAR = {"weather": "undefined", "scene": "highway", "timeofday": "dawn/dusk"}


@pytest.fixture
def image() -> np.ndarray:
    return random_image(np.random.default_rng(0), *SHAPE)


@pytest.fixture
def train_ids() -> np.ndarray:
    """Every train id, one a row, and unlabelled pixels."""
    return np.repeat(np.array([*range(19), 255], np.uint8)[:, None], SHAPE[1], axis=1)


def test_masks_are_train_ids_of_cityscapes_as_they_are(
    tmp_path: Path, image: np.ndarray, train_ids: np.ndarray
) -> None:
    stored = write_bdd100k_image(tmp_path, "10k", "train", "0004a4c0-d4dff0ad", image, train_ids)
    dataset = open_dataset("bdd100k", tmp_path)
    [record] = dataset.records("train")
    assert (record.key, record.label) == (
        "train_0004a4c0-d4dff0ad",
        "labels/sem_seg/masks/train/0004a4c0-d4dff0ad.png",
    )
    frame = dataset.load(record)
    np.testing.assert_array_equal(frame.image, stored)
    assert frame.label is not None
    np.testing.assert_array_equal(frame.label, train_ids)
    assert dataset.taxonomy == CITYSCAPES


@pytest.mark.parametrize("form", ["palette", "RGB", "RGBA", "palette of other indices"])
def test_colour_maps_alone_are_read(tmp_path: Path, image: np.ndarray, train_ids: np.ndarray, form: str) -> None:
    write_bdd100k_image(tmp_path, "10k", "train", "a", image)
    colors = CITYSCAPES.colors.copy()
    path = tmp_path / "labels" / "sem_seg" / "colormaps" / "train" / "a.png"
    path.parent.mkdir(parents=True)
    if form == "palette":
        file = Image.fromarray(train_ids, mode="P")
        file.putpalette(colors.tobytes())
    elif form == "palette of other indices":
        order = np.random.default_rng(0).permutation(20)
        known = np.array([*range(19), 255])
        file = Image.fromarray(order.argsort().astype(np.uint8)[np.searchsorted(known, train_ids)], mode="P")
        file.putpalette(colors[known[order]].tobytes())
    else:
        file = Image.fromarray(colors[train_ids]).convert(form)
    file.save(path)
    dataset = open_dataset("bdd100k", tmp_path)
    [record] = dataset.records("train")
    np.testing.assert_array_equal(dataset.load(record).label, train_ids)


def test_a_colour_map_that_is_black_has_no_class(tmp_path: Path, image: np.ndarray) -> None:
    write_bdd100k_image(tmp_path, "10k", "train", "a", image)
    save(tmp_path / "labels" / "sem_seg" / "colormaps" / "train" / "a.png", np.zeros((*SHAPE, 3), np.uint8))
    dataset = open_dataset("bdd100k", tmp_path)
    assert (dataset.load(dataset.records("train")[0]).label == 255).all()


def test_colours_of_no_class_in_a_colour_map_are_named(tmp_path: Path, image: np.ndarray) -> None:
    write_bdd100k_image(tmp_path, "10k", "train", "a", image)
    for color in ((1, 2, 3), (9, 9, 9)):
        path = tmp_path / "labels" / "sem_seg" / "colormaps" / "train" / "a.png"
        save(path, np.full((*SHAPE, 3), color, np.uint8))
        dataset = open_dataset("bdd100k", tmp_path)
        said = rf"^unknown label colour: .*a\.png has {re.escape(str(color))} \(320 pixels\): expected one of the 20"
        with pytest.raises(RecordError, match=said):
            dataset.load(dataset.records("train")[0])


def test_the_archive_of_labels_that_are_missing_is_named(tmp_path: Path, image: np.ndarray) -> None:
    write_bdd100k_image(tmp_path, "10k", "train", "a", image)
    write_json(tmp_path / "labels" / "sem_seg" / "polygons" / "sem_seg_train.json", [])
    with pytest.raises(UserError, match=r"expected .*masks/train/\*\.png, which bdd100k_sem_seg_labels_trainval\.zip"):
        open_dataset("bdd100k", tmp_path).records("train")


def test_objects_of_the_10k_are_numbered_and_crowds_are_none(
    tmp_path: Path, image: np.ndarray, train_ids: np.ndarray
) -> None:
    write_bdd100k_image(tmp_path, "10k", "train", "a", image, train_ids)
    write_bdd100k_image(tmp_path, "10k", "train", "b", image, train_ids)
    # Category, bits (truncated, occluded, crowd, ignore), and the id, of which no byte is transparency.
    objects = {
        (3, 0b1100, 300): 3,
        (3, 0, 7): 2,
        (2, 0, 0): 1,
        (1, 0b0010, 8): 0,
        (4, 0b0001, 9): 0,
        (0, 0, 0): 0,
        (8, 0, 65535): 4,
    }
    masks, expected = np.zeros((*SHAPE, 4), np.uint8), np.zeros(SHAPE, np.uint16)
    for row, ((category, bits, number), place) in enumerate(objects.items()):
        masks[row] = category, bits, number >> 8, number & 255
        expected[row] = place
    save(tmp_path / "labels/ins_seg/bitmasks/train/a.png", masks)
    dataset = open_dataset("bdd100k", tmp_path)
    a, b = (dataset.load(record) for record in dataset.records("train"))
    assert a.instances is not None
    np.testing.assert_array_equal(a.instances, expected)
    assert (a.instances.dtype, b.instances) == (np.uint16, None)
    save(tmp_path / "labels/ins_seg/bitmasks/train/a.png", masks[..., :3])
    with pytest.raises(RecordError, match=r"wrong label mode: .*a\.png has mode RGB: expected the four channels RGBA"):
        dataset.load(dataset.records("train")[0])


@pytest.mark.parametrize(
    "file", ["labels/det_20/det_{}.json", "labels/bdd100k_labels_images_{}.json"], ids=["2020", "2018"]
)
def test_the_100k_have_boxes_and_attributes_in_words_of_prompts(tmp_path: Path, image: np.ndarray, file: str) -> None:
    root = tmp_path / "bdd100k"
    for name in ("a", "b", "c"):
        write_bdd100k_image(root, "100k", "train", name, image)
    boxes = [("car", 1.5, 2, 11.25, 8), ("pedestrian", 0, 0, 3, 9), ("bike", 4, 4, 8, 8), ("motor", 1, 1, 2, 2)]
    content = [bdd100k_frame("b", UNCLEAR), bdd100k_frame("a", NIGHT, boxes), bdd100k_frame("elsewhere", NIGHT)]
    del content[0]["labels"]
    write_json(root / file.format("train"), content)
    dataset = open_dataset("bdd100k-100k", tmp_path)
    a, b, c = dataset.records("train")
    assert a.attributes == {"medium": "photo", "weather": "rain", "scene": "gas station", "time_of_day": "night"}
    assert b.attributes == {"medium": "photo", "scene": "highway", "time_of_day": "dusk"}
    assert (c.attributes, b.boxes, c.boxes) == ({"medium": "photo"}, (), ())
    frame = dataset.load(a)
    assert frame.label is None
    assert frame.boxes == (
        Box("car", 1.5, 2, 9.75, 6),
        Box("person", 0, 0, 3, 9),
        Box("bicycle", 4, 4, 4, 4),
        Box("motorcycle", 1, 1, 1, 1),
    )
    assert dataset.taxonomy is None


def test_every_word_of_weather_and_time_is_one_that_prompts_know() -> None:
    assert set(bdd100k.WEATHERS.values()) <= set(WEATHERS)
    assert set(bdd100k.TIMES_OF_DAY.values()) <= set(TIMES_OF_DAY)


def test_the_10k_take_attributes_but_no_boxes_from_any_split_of_the_100k(
    tmp_path: Path, image: np.ndarray, train_ids: np.ndarray
) -> None:
    for name in ("a", "b"):
        write_bdd100k_image(tmp_path, "10k", "train", name, image, train_ids)
    content = [bdd100k_frame("a", {**NIGHT, "timeofday": "daytime"}, [("car", 0, 0, 2, 2)])]
    write_json(tmp_path / "labels/det_20/det_val.json", content)
    a, b = open_dataset("bdd100k", tmp_path).records("train")
    assert a.attributes == {"medium": "photo", "weather": "rain", "scene": "gas station", "time_of_day": "day"}
    assert a.boxes == ()
    assert b.attributes == {"medium": "photo"}


def test_images_that_the_10k_hold_out_are_not_trained_on(
    tmp_path: Path, image: np.ndarray, train_ids: np.ndarray
) -> None:
    for split in ("train", "val", "test"):
        write_bdd100k_image(tmp_path, "10k", split, f"shared-{split}", image, train_ids)
        for name in ("shared-train", "shared-val", "shared-test", f"own-{split}"):
            write_bdd100k_image(tmp_path, "100k", split, name, image)
    dataset = open_dataset("bdd100k-100k", tmp_path)
    assert [record.key for record in dataset.records("train")] == ["train_own-train", "train_shared-train"]
    assert len(dataset.records("val")) == 4


def test_only_the_test_split_of_the_10k_may_come_without_labels(
    tmp_path: Path, image: np.ndarray, train_ids: np.ndarray
) -> None:
    write_bdd100k_image(tmp_path, "10k", "train", "a", image, train_ids)
    write_bdd100k_image(tmp_path, "10k", "train", "b", image)
    write_bdd100k_image(tmp_path, "10k", "test", "c", image)
    dataset = open_dataset("bdd100k", tmp_path)
    assert dataset.splits() == ["test", "train"]
    [record] = dataset.records("test")
    assert dataset.load(record).label is None
    with pytest.raises(UserError, match=r"expected .*masks/train/\*\.png, found 2 images and 1 labels.*b\.jpg"):
        dataset.records("train")
    (tmp_path / "images/10k/train/b.jpg").unlink()
    (tmp_path / "images/10k/train/a.jpg").unlink()
    with pytest.raises(UserError, match=r"split 'train' has no image: .*images/10k/train/\*\.jpg, found 1 labels"):
        dataset.records("train")


def test_wrong_roots_and_empty_splits_say_what_was_expected_where(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: it should hold images/10k/"):
        open_dataset("bdd100k", tmp_path / "nowhere")
    write_bdd100k_image(tmp_path, "100k", "train", "a", image)
    with pytest.raises(UserError, match=r"is not a BDD100K folder: expected images/10k/train/\*\.jpg, found 100k/$"):
        open_dataset("bdd100k", tmp_path)
    (tmp_path / "images/100k/val").mkdir()
    dataset = open_dataset("bdd100k-100k", tmp_path)
    with pytest.raises(UserError, match=r"split 'val' has no image: expected .*images/100k/val/\*\.jpg, found none"):
        dataset.records("val")


def test_an_unknown_id_and_another_size_are_reported_with_their_file(
    tmp_path: Path, image: np.ndarray, train_ids: np.ndarray
) -> None:
    write_bdd100k_image(tmp_path, "10k", "train", "small", image, train_ids[1:])
    train_ids[0, 0] = 19
    write_bdd100k_image(tmp_path, "10k", "train", "outside", image, train_ids)
    dataset = open_dataset("bdd100k", tmp_path)
    outside, small = dataset.records("train")
    with pytest.raises(
        RecordError, match=r"^unknown label id: .*outside\.png has ids \[19\] \(1 pixels\): .*0\.\.18, 255"
    ):
        dataset.load(outside)
    with pytest.raises(RecordError, match=r"^size mismatch: .*small\.jpg is 20x16 .*small\.png is 19x16"):
        dataset.load(small)
