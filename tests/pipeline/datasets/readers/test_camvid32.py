"""The reader of CamVid's original labels, colour by colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.errors import UserError
from pipeline.datasets import RecordError, open_dataset
from pipeline.datasets.readers.camvid32 import usual_split
from pipeline.taxonomies import CAMVID32
from tests.pipeline.datasets.trees import random_image, write_camvid32_image

# Of the owner's table of colours, from its first line to its last.
OFFICIAL = {
    "animal": (64, 128, 64),
    "bicyclist": (0, 128, 192),
    "lane markings driving": (128, 0, 192),
    "road": (128, 64, 128),
    "traffic cone": (0, 0, 64),
    "wall": (64, 192, 0),
}


@pytest.fixture
def colors() -> np.ndarray:
    """Every colour of the set, one a row, with void first."""
    return np.repeat(np.array([(0, 0, 0), *CAMVID32.palette], np.uint8)[:, None], 5, axis=1)


@pytest.fixture
def image(colors: np.ndarray) -> np.ndarray:
    return random_image(np.random.default_rng(0), *colors.shape[:2])


@pytest.mark.parametrize("split", [None, "train"])
def test_each_colour_becomes_its_class_and_void_is_ignored(
    tmp_path: Path, image: np.ndarray, colors: np.ndarray, split: str | None
) -> None:
    write_camvid32_image(tmp_path, "0006R0_f00930", image, colors, split)
    dataset = open_dataset("camvid-32", tmp_path)
    [record] = dataset.records("train")
    assert (record.key, record.attributes["time_of_day"]) == ("train_0006R0_f00930", "day")
    frame = dataset.load(record)
    np.testing.assert_array_equal(frame.image, image)
    assert frame.label is not None
    assert (frame.label.dtype, len(CAMVID32)) == (np.uint8, 31)
    assert frame.label[:, 0].tolist() == [255, *range(31)]
    assert (frame.label == frame.label[:, :1]).all()
    for name, color in OFFICIAL.items():
        assert (colors[frame.label == CAMVID32.classes.index(name)] == color).all()


def test_an_unknown_colour_is_reported_with_its_file_and_pixels(
    tmp_path: Path, image: np.ndarray, colors: np.ndarray
) -> None:
    colors[3, :2] = (1, 2, 3)
    colors[4, 0] = (255, 255, 255)
    write_camvid32_image(tmp_path, "0006R0_f00930", image, colors)
    dataset = open_dataset("camvid-32", tmp_path)
    message = r"^unknown label colour: .*0006R0_f00930_L\.png has \(1, 2, 3\), \(255, 255, 255\) \(3 pixels\)"
    with pytest.raises(RecordError, match=message):
        dataset.load(dataset.records("train")[0])


def test_a_palette_file_counts_by_its_colours_and_indices_are_refused(
    tmp_path: Path, image: np.ndarray, colors: np.ndarray
) -> None:
    write_camvid32_image(tmp_path, "0006R0_f00930", image, colors)
    dataset = open_dataset("camvid-32", tmp_path)
    [record] = dataset.records("train")
    plain = dataset.load(record).label
    path = tmp_path / str(record.label)
    Image.fromarray(colors).quantize(64).save(path)
    np.testing.assert_array_equal(dataset.load(record).label, plain)
    Image.fromarray(colors[..., 0]).save(path)
    with pytest.raises(RecordError, match=r"^wrong label mode: .* has mode L: expected 8-bit colours"):
        dataset.load(record)


def test_frames_are_split_as_usual_where_nothing_is_listed(
    tmp_path: Path, image: np.ndarray, colors: np.ndarray
) -> None:
    by_split = {
        "train": ["0001TP_006690", "0001TP_008520", "0006R0_f00930", "0016E5_00390", "0016E5_08190"],
        "val": ["0016E5_07959", "0016E5_08159"],
        "test": ["0001TP_008550", "0001TP_010380", "Seq05VD_f00000"],
    }
    for names in by_split.values():
        for name in names:
            write_camvid32_image(tmp_path, name, image, colors)
    dataset = open_dataset("camvid-32", tmp_path)
    assert dataset.splits() == ["test", "train", "val"]
    for split, names in by_split.items():
        assert [record.key for record in dataset.records(split)] == [f"{split}_{name}" for name in names]


def test_the_usual_split_is_that_of_the_real_frames(camvid_root: Path) -> None:
    for split in ("train", "val"):
        assert {usual_split(path.stem) for path in (camvid_root / split).iterdir()} == {split}


def test_lists_in_the_root_have_the_last_word(tmp_path: Path, image: np.ndarray, colors: np.ndarray) -> None:
    for name in ("0016E5_07959", "Seq05VD_f00000", "0006R0_f00930"):
        write_camvid32_image(tmp_path, name, image, colors)
    (tmp_path / "train.txt").write_text("0016E5_07959\n\nSeq05VD_f00000.png\n")
    (tmp_path / "val.txt").write_text(
        "/SegNet/CamVid/val/0006R0_f00930.png /SegNet/CamVid/valannot/0006R0_f00930.png\n"
    )
    dataset = open_dataset("camvid-32", tmp_path)
    assert dataset.splits() == ["train", "val"]
    assert [record.key for record in dataset.records("train")] == ["train_0016E5_07959", "train_Seq05VD_f00000"]
    assert [record.key for record in dataset.records("val")] == ["val_0006R0_f00930"]
    (tmp_path / "val.txt").write_text("0006R0_f00930\n0006R0_f00960\n")
    with pytest.raises(
        UserError, match=r"val\.txt names 1 frames that .* lacks, such as 0006R0_f00960: found 3 images"
    ):
        dataset.records("val")


def test_a_half_extracted_set_is_counted(tmp_path: Path, image: np.ndarray, colors: np.ndarray) -> None:
    for name in ("0006R0_f00930", "0006R0_f00960"):
        write_camvid32_image(tmp_path, name, image, colors)
    dataset = open_dataset("camvid-32", tmp_path)
    (tmp_path / "LabeledApproved_full/0006R0_f00930_L.png").unlink()
    message = r"1 of its images have no label: expected .*/LabeledApproved_full/\*_L\.png, found 2 images and 1 labels"
    with pytest.raises(UserError, match=message):
        dataset.records("train")
    for name in ("0006R0_f00930", "0006R0_f00960"):
        (tmp_path / f"701_StillsRaw_full/{name}.png").unlink()
    with pytest.raises(
        UserError, match=r"'train' has no image: expected .*/701_StillsRaw_full/\*\.png or \*\.jpg, found 1 labels"
    ):
        dataset.records("train")


def test_wrong_roots_and_splits_say_what_was_expected_where(
    tmp_path: Path, image: np.ndarray, colors: np.ndarray
) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: it should hold 701_StillsRaw_full/"):
        open_dataset("camvid-32", tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"expected 701_StillsRaw_full/ and .*, found an empty folder$"):
        open_dataset("camvid-32", tmp_path)
    write_camvid32_image(tmp_path, "0006R0_f00930", image, colors, "train")
    with pytest.raises(UserError, match=r"no split 'val': .* has the splits train$"):
        open_dataset("camvid-32", tmp_path).records("val")
