"""The reader of ADEChallengeData2016, pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from pipeline.datasets import RecordError, open_dataset
from tests.pipeline.datasets.trees import random_image
from tests.pipeline.datasets.trees_sets import write_ade20k_image

SHAPE = (151, 8)


@pytest.fixture
def image() -> np.ndarray:
    return random_image(np.random.default_rng(0), *SHAPE)


@pytest.fixture
def raw_ids() -> np.ndarray:
    """Every id of the label files, one a row."""
    return np.repeat(np.arange(151, dtype=np.uint8)[:, None], SHAPE[1], axis=1)


def test_zero_is_ignored_and_every_other_id_moves_down_by_one(
    tmp_path: Path, image: np.ndarray, raw_ids: np.ndarray
) -> None:
    stored = write_ade20k_image(tmp_path, "training", "ADE_train_00000001", image, raw_ids)
    dataset = open_dataset("ade20k", tmp_path)
    [record] = dataset.records("train")
    frame = dataset.load(record)
    np.testing.assert_array_equal(frame.image, stored)
    assert frame.label is not None
    assert frame.label.dtype == np.uint8
    np.testing.assert_array_equal(frame.label[:, 0], [255, *range(150)])
    assert (frame.label == frame.label[:, :1]).all()
    assert dataset.taxonomy is not None
    assert (dataset.taxonomy.classes[0], dataset.taxonomy.classes[149]) == ("wall", "flag")


def test_splits_go_by_their_short_names_and_scenes_are_words(
    tmp_path: Path, image: np.ndarray, raw_ids: np.ndarray
) -> None:
    for split, name in (("training", "ADE_train_00000002"), ("training", "ADE_train_00000001")):
        write_ade20k_image(tmp_path, split, name, image, raw_ids)
    for name in ("ADE_val_00000001", "ADE_val_00000002"):
        write_ade20k_image(tmp_path, "validation", name, image, raw_ids)
    (tmp_path / "sceneCategories.txt").write_text(
        "ADE_train_00000001 airport_terminal\nADE_train_99999999 street\nADE_val_00000001 misc\n"
    )
    dataset = open_dataset("ade20k", tmp_path)
    assert dataset.splits() == ["train", "val"]
    train = dataset.records("train")
    assert [(record.key, record.image, record.label) for record in train] == [
        (
            f"train_ADE_train_0000000{number}",
            f"images/training/ADE_train_0000000{number}.jpg",
            f"annotations/training/ADE_train_0000000{number}.png",
        )
        for number in (1, 2)
    ]
    assert [record.attributes for record in train] == [
        {"medium": "photo", "scene": "airport terminal"},
        {"medium": "photo"},
    ]
    assert [record.attributes for record in dataset.records("val")] == [{"medium": "photo"}] * 2


def test_the_folder_above_gives_the_same_records(tmp_path: Path, image: np.ndarray, raw_ids: np.ndarray) -> None:
    root = tmp_path / "ADEChallengeData2016"
    write_ade20k_image(root, "training", "ADE_train_00000001", image, raw_ids)
    above, inside = open_dataset("ade20k", tmp_path), open_dataset("ade20k", root)
    assert above.records("train") == inside.records("train")
    np.testing.assert_array_equal(
        above.load(above.records("train")[0]).image, inside.load(inside.records("train")[0]).image
    )


def test_an_unknown_id_is_reported_with_its_file(tmp_path: Path, image: np.ndarray, raw_ids: np.ndarray) -> None:
    raw_ids[0, :3] = 151
    write_ade20k_image(tmp_path, "training", "a", image, raw_ids)
    dataset = open_dataset("ade20k", tmp_path)
    with pytest.raises(
        RecordError, match=r"^unknown label id: .*annotations/training/a\.png has ids \[151\] \(3 pixels\): .*0\.\.150"
    ):
        dataset.load(dataset.records("train")[0])


def test_what_is_missing_is_counted(tmp_path: Path, image: np.ndarray, raw_ids: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"^dataset root .*nowhere does not exist: it should hold images/training/"):
        open_dataset("ade20k", tmp_path / "nowhere")
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match=r"is not an ADE20K folder: expected images/training/\*\.jpg .*found photos/$"):
        open_dataset("ade20k", tmp_path)
    write_ade20k_image(tmp_path, "training", "a", image, raw_ids)
    write_ade20k_image(tmp_path, "training", "b", image, None)
    dataset = open_dataset("ade20k", tmp_path)
    with pytest.raises(UserError, match=r"1 of its images have no label: .*found 2 images and 1 labels.*b\.jpg"):
        dataset.records("train")
    with pytest.raises(UserError, match=r"no split 'val': expected the folder .*images/validation"):
        dataset.records("val")
    (tmp_path / "images/training/a.jpg").rename(tmp_path / "images/training/b.jpg")
    with pytest.raises(UserError, match=r"split 'train': 1 of its images have no label"):
        dataset.records("train")
    (tmp_path / "images/training/b.jpg").unlink()
    with pytest.raises(
        UserError, match=r"split 'train' has no image: expected .*images/training/\*\.jpg, found 1 labels"
    ):
        dataset.records("train")


def test_a_broken_line_of_scenes_is_reported(tmp_path: Path, image: np.ndarray, raw_ids: np.ndarray) -> None:
    write_ade20k_image(tmp_path, "training", "a", image, raw_ids)
    (tmp_path / "sceneCategories.txt").write_text("a street\n\nb\n")
    with pytest.raises(UserError, match=r"sceneCategories\.txt: line 3 is 'b': expected an image and its scene"):
        open_dataset("ade20k", tmp_path).records("train")
