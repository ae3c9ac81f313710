"""The CamVid reader on built trees and, where they are at hand, on the real frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.errors import UserError
from pipeline.datasets import RecordError, open_dataset, show
from tests.pipeline.datasets.geometries import geometry_of
from tests.pipeline.datasets.trees import random_image, write_camvid_image


@pytest.fixture
def image() -> np.ndarray:
    return random_image(np.random.default_rng(0), 12, 5)


@pytest.fixture
def indices() -> np.ndarray:
    """Every index, one a row."""
    return np.repeat(np.arange(12, dtype=np.uint8)[:, None], 5, axis=1)


def test_index_eleven_is_ignored_and_the_others_stay(tmp_path: Path, image: np.ndarray, indices: np.ndarray) -> None:
    write_camvid_image(tmp_path, "train", "0006R0_f00930", image, indices)
    dataset = open_dataset("camvid", tmp_path)
    [record] = dataset.records("train")
    frame = dataset.load(record)
    loaded, label = frame.image, frame.label
    np.testing.assert_array_equal(loaded, image)
    assert label is not None
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label[:11], indices[:11])
    assert (label[11] == 255).all()


@pytest.mark.parametrize(
    ("name", "time_of_day"),
    [
        ("0001TP_006690", "dusk"),
        ("0006R0_f00930", "day"),
        ("0016E5_00390", "day"),
        ("Seq05VD_f00000", "day"),
    ],
)
def test_the_sequence_tells_the_time_of_day(
    tmp_path: Path, image: np.ndarray, indices: np.ndarray, name: str, time_of_day: str
) -> None:
    write_camvid_image(tmp_path, "train", name, image, indices)
    [record] = open_dataset("camvid", tmp_path).records("train")
    assert record.attributes == {"medium": "photo", "time_of_day": time_of_day}


def test_jpeg_images_pair_with_png_labels(tmp_path: Path, image: np.ndarray, indices: np.ndarray) -> None:
    write_camvid_image(tmp_path, "val", "b", image, indices, suffix=".jpg")
    write_camvid_image(tmp_path, "val", "a", image, indices)
    (tmp_path / "val" / "notes.txt").touch()
    records = open_dataset("camvid", tmp_path).records("val")
    assert [(record.key, record.image, record.label) for record in records] == [
        ("val_a", "val/a.png", "valannot/a.png"),
        ("val_b", "val/b.jpg", "valannot/b.png"),
    ]


def test_two_images_of_one_name_are_refused(tmp_path: Path, image: np.ndarray, indices: np.ndarray) -> None:
    write_camvid_image(tmp_path, "val", "a", image, indices, suffix=".jpg")
    write_camvid_image(tmp_path, "val", "a", image, indices)
    with pytest.raises(UserError, match=r"val/a\.jpg and val/a\.png have the same name"):
        open_dataset("camvid", tmp_path).records("val")


def test_splits_may_share_names_but_not_keys(tmp_path: Path, image: np.ndarray, indices: np.ndarray) -> None:
    for split in ("train", "val", "night"):
        write_camvid_image(tmp_path, split, "0001", image, indices)
    dataset = open_dataset("camvid", tmp_path)
    assert dataset.splits() == ["night", "train", "val"]
    assert {dataset.records(split)[0].key for split in dataset.splits()} == {
        "night_0001",
        "train_0001",
        "val_0001",
    }


def test_only_the_test_split_may_come_without_labels(tmp_path: Path, image: np.ndarray) -> None:
    write_camvid_image(tmp_path, "train", "a", image)
    write_camvid_image(tmp_path, "test", "a", image)
    dataset = open_dataset("camvid", tmp_path)
    [record] = dataset.records("test")
    assert dataset.load(record).label is None
    with pytest.raises(UserError, match=r"expected .*trainannot/\*\.png, found 1 images and 0 labels"):
        dataset.records("train")


def test_unknown_ids_are_reported_with_their_file(tmp_path: Path, image: np.ndarray, indices: np.ndarray) -> None:
    indices[0, 0] = 12
    write_camvid_image(tmp_path, "train", "a", image, indices)
    dataset = open_dataset("camvid", tmp_path)
    with pytest.raises(
        RecordError, match=r"^unknown label id: .*trainannot/a\.png has ids \[12\] \(1 pixels\): .*0\.\.11"
    ):
        dataset.load(dataset.records("train")[0])


def test_wrong_roots_and_splits_say_what_was_expected_where(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: it should hold train/.* and trainannot/"):
        open_dataset("camvid", tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"is not a CamVid folder: expected train/\*\.png .*found an empty folder"):
        open_dataset("camvid", tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "trainannot").mkdir()
    dataset = open_dataset("camvid", tmp_path)
    with pytest.raises(UserError, match=r"split 'train' has no image: expected .*train/\*\.png or \*\.jpg"):
        dataset.records("train")
    with pytest.raises(UserError, match="no split 'val'"):
        dataset.records("val")


def test_the_real_frames_are_read_whole(camvid_root: Path) -> None:
    dataset = open_dataset("camvid", camvid_root)
    for split, count in (("train", 367), ("val", 101)):
        records = dataset.records(split)
        assert len(records) == count
        for record in records[:: count // 8]:
            frame = dataset.load(record)
            image, label = frame.image, frame.label
            stored = np.asarray(Image.open(camvid_root / f"{split}annot" / Path(record.image).with_suffix(".png").name))
            assert image.shape == (360, 480, 3)
            assert label is not None
            np.testing.assert_array_equal(label == 255, stored == 11)
            np.testing.assert_array_equal(label[stored < 11], stored[stored < 11])


def test_the_real_dusk_frames_are_the_dark_ones(camvid_root: Path) -> None:
    dataset = open_dataset("camvid", camvid_root)
    brightness: dict[str, list[float]] = {"day": [], "dusk": []}
    for record in dataset.records("train")[::12]:
        brightness[record.attributes["time_of_day"]].append(float(dataset.load(record).image.mean()))
    assert len(brightness["dusk"]) >= 4
    assert np.mean(brightness["dusk"]) < 0.7 * np.mean(brightness["day"])


def test_a_photograph_may_be_decoded_smaller_and_its_label_never_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 11, (64, 95), dtype=np.uint8)
    write_camvid_image(tmp_path, "train", "a", random_image(rng, 64, 95), label, suffix=".jpg")
    dataset = open_dataset("camvid", tmp_path)
    [record] = dataset.records("train")
    frame = dataset.load(record, (32, 40))
    assert (frame.image.shape, frame.reduction, frame.full_size) == ((32, 48, 3), 2, (64, 95))
    np.testing.assert_array_equal(frame.label, label)
    # As small as this photograph of 95 columns when both are halved and rounded up, and yet not its label.
    Image.fromarray(np.zeros((64, 96), np.uint8)).save(tmp_path / "trainannot" / "a.png")
    with pytest.raises(RecordError, match=r"^size mismatch: .*a\.jpg is 64x95 pixels .* a\.png is 64x96"):
        dataset.load(record, (32, 40))


def test_what_is_decoded_smaller_looks_the_same_at_the_working_size(camvid_root: Path) -> None:
    dataset = open_dataset("camvid", camvid_root)
    geometry = geometry_of(88, 120, "crop")
    for record in dataset.records("train")[::60]:
        small, full = dataset.load(record, geometry.at_least), dataset.load(record)
        assert (small.reduction, full.reduction) == (2, 1)
        [view] = geometry.views(record.key, full.full_size)
        once, other = (show(frame, view, geometry) for frame in (small, full))
        error = np.mean((once.image.astype(float) - other.image) ** 2)
        assert 10 * np.log10(255**2 / error) >= 40, "the promise of docs/datasets/geometry.md, in dB"
        np.testing.assert_array_equal(once.label, other.label)
