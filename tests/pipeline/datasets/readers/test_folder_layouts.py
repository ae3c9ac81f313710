"""Plain folders as other tools write them: masks beside images, suffixes of names, and lists of each split's names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.datasets import FolderOptions, open_dataset
from pipeline.store import Store
from pipeline.store.reader import SampleReader
from tests.pipeline.datasets.trees import random_image, save

Output = pytest.CaptureFixture[str]
RNG = np.random.default_rng(0)
IMAGE = random_image(RNG, 32, 64)
MASK = RNG.integers(0, 2, (32, 64), dtype=np.uint8)

ROBOFLOW = ["dataset.folder.images={split}", "dataset.folder.masks={split}", "dataset.folder.mask_suffix=_mask"]
VALID = ["dataset.splits=[train,valid]", "generate.splits=[train,valid]", "evaluate.split=valid"]


def roboflow(root: Path) -> Path:
    for split, count in (("train", 3), ("valid", 2), ("test", 1)):
        for number in range(count):
            name = f"frame{number}_jpg.rf.0a1b{number}"
            save(root / split / f"{name}.jpg", IMAGE)
            save(root / split / f"{name}_mask.png", MASK)
        (root / split / "_classes.csv").write_text("id,name\n0,background\n1,road\n")
    return root


def test_masks_beside_images_are_read_alike_by_every_command(tmp_path: Path, capsys: Output) -> None:
    root, workspace = roboflow(tmp_path / "data"), tmp_path / "space"
    assert guarded(["inspect", "folder", str(root), *ROBOFLOW, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["folder"]
    assert {split: counts["samples"] for split, counts in found["splits"].items()} == {
        "train": 3,
        "valid": 2,
        "test": 1,
    }
    assert (found["total"]["labelled"], found["tables_not_read"]) == (6, [])
    run = ["own", f"dataset.root={root}", *ROBOFLOW, *VALID, "--workspace", str(workspace), "--executor", "serial"]
    assert guarded(["plan", *run, "--until", "shard", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["samples"] == 5
    assert guarded(["run", *run, "--until", "shard"]) == 0
    store = Store.open(str(workspace / "real"))
    keys = store.index()["key"].to_pylist()
    assert len(keys) == 5
    for key in keys:
        label = SampleReader(store).read(key).label
        assert label is not None
        assert set(np.unique(label)) <= {0, 1}


def test_a_mask_that_is_not_read_is_no_image_either(tmp_path: Path) -> None:
    root = roboflow(tmp_path)
    save(root / "train/frame9_mask.jpg", IMAGE)
    options = FolderOptions(images="{split}", masks="{split}", mask_suffix="_mask")
    assert len(open_dataset("folder", root, options).records("train")) == 3


def test_masks_may_have_the_names_of_the_photographs_beside_them(tmp_path: Path) -> None:
    for name in ("a", "town/b"):
        save(tmp_path / f"images/train/{name}.jpg", IMAGE)
        save(tmp_path / f"images/train/{name}.png", MASK)
    (tmp_path / "classes.txt").write_text("a\nb\n")
    records = open_dataset("folder", tmp_path, FolderOptions(masks="images/{split}")).records("train")
    assert [(record.image[-4:], record.label and record.label[-4:]) for record in records] == [(".jpg", ".png")] * 2


def test_files_of_classes_that_differ_between_splits_are_refused(tmp_path: Path) -> None:
    root = roboflow(tmp_path)
    (root / "valid/_classes.csv").write_text("id,name\n0,background\n1,rail\n")
    options = FolderOptions(images="{split}", masks="{split}", mask_suffix="_mask")
    with pytest.raises(UserError, match=r"valid/_classes\.csv and .*test/_classes\.csv differ"):
        open_dataset("folder", root, options)
    stated = FolderOptions(images="{split}", masks="{split}", mask_suffix="_mask", classes="train/_classes.csv")
    taxonomy = open_dataset("folder", root, stated).taxonomy
    assert taxonomy is not None
    assert taxonomy.classes == ("background", "road")


@settings(max_examples=30)
@given(
    st.lists(st.text("abc._- é", min_size=1, max_size=6), min_size=1, max_size=4, unique=True),
    st.sampled_from(["", "_img", ".left", "_img.jpg", ".jpg", "_img.JPG"]),
    st.sampled_from(["_mask", ".seg", "_gt.png"]),
    st.booleans(),
)
def test_an_image_and_its_mask_share_the_name_before_their_suffixes(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], image_suffix: str, mask_suffix: str, beside: bool
) -> None:
    root = tmp_path_factory.mktemp("folder")
    masks = "images/{split}" if beside else "masks/{split}"
    for name in names:
        end = image_suffix if image_suffix.lower().endswith(".jpg") else f"{image_suffix}.jpg"
        save(root / "images/train" / f"x{name}{end}", IMAGE)
        end = mask_suffix if mask_suffix.endswith(".png") else f"{mask_suffix}.png"
        save(root / masks.replace("{split}", "train") / f"x{name}{end}", MASK)
    if image_suffix.startswith("_"):
        save(root / "images/train/other.jpg", IMAGE)
    (root / "classes.txt").write_text("a\nb\n")
    options = FolderOptions(masks=masks, image_suffix=image_suffix, mask_suffix=mask_suffix)
    records = open_dataset("folder", root, options).records("train")
    assert len(records) == len(names)
    assert all(record.label for record in records)


def voc(root: Path) -> Path:
    for name in ("2007_000032", "2007_000039", "2007_000063", "2008_000001", "2008_000002"):
        save(root / "JPEGImages" / f"{name}.jpg", IMAGE)
        if name != "2008_000002":
            save(root / "SegmentationClass" / f"{name}.png", MASK)
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\ufeff2007_000032\r\n2007_000063\r\n", encoding="utf-8")
    (lists / "val.txt").write_text("JPEGImages/2007_000039.jpg SegmentationClass/2007_000039.png\n")
    return root


LISTS = "ImageSets/Segmentation/{split}.txt"


def test_lists_say_which_images_a_split_has(tmp_path: Path, capsys: Output) -> None:
    root = voc(tmp_path / "VOCdevkit/VOC2012")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    settings = ["dataset.folder.images=JPEGImages", "dataset.folder.masks=SegmentationClass"]
    listed = f"dataset.folder.lists={LISTS}"
    assert guarded(["inspect", "folder", str(tmp_path), *settings, listed]) == 0
    assert "3 samples (train 2, val 1)" in capsys.readouterr().out
    (root / "classes.txt").write_text("a\nb\n")
    dataset = open_dataset("folder", root, FolderOptions(images="JPEGImages", masks="SegmentationClass", lists=LISTS))
    assert [record.key for record in dataset.records("train")] == ["train_2007_000032", "train_2007_000063"]
    assert [record.label for record in dataset.records("val")] == ["SegmentationClass/2007_000039.png"]


def test_a_list_of_what_is_not_there_is_refused(tmp_path: Path) -> None:
    voc(tmp_path)
    (tmp_path / "classes.txt").write_text("a\nb\n")
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("2007_000039\n2099_1\n2099_2\n")
    dataset = open_dataset(
        "folder", tmp_path, FolderOptions(images="JPEGImages", masks="SegmentationClass", lists=LISTS)
    )
    with pytest.raises(UserError, match=r"val\.txt names 2 of 3 images that do not exist, such as 2099_1, 2099_2"):
        dataset.records("val")
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("\n")
    with pytest.raises(UserError, match=r"val\.txt names no image"):
        dataset.records("val")
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("2008_000002\n")
    with pytest.raises(UserError, match="1 of its images have no label"):
        dataset.records("val")


def test_lists_may_choose_in_the_folders_of_splits(tmp_path: Path) -> None:
    for name in ("town/a", "town/b c", "land/a"):
        save(tmp_path / f"images/train/{name}.png", IMAGE)
    (tmp_path / "train.lst").write_text("town/a.png\nb c\n")
    dataset = open_dataset("folder", tmp_path, FolderOptions(lists="{split}.lst"))
    assert [record.image for record in dataset.records("train")] == [
        "images/train/town/a.png",
        "images/train/town/b c.png",
    ]
    (tmp_path / "train.lst").write_text("a\n")
    with pytest.raises(UserError, match="a is the name of several images"):
        dataset.records("train")


def test_masks_may_be_in_a_folder_among_the_images_of_their_split(tmp_path: Path) -> None:
    for split in ("train", "val"):
        save(tmp_path / split / "a.png", IMAGE)
        save(tmp_path / split / "masks" / "a.png", MASK)
    (tmp_path / "classes.txt").write_text("a\nb\n")
    dataset = open_dataset("folder", tmp_path, FolderOptions(images="{split}", masks="{split}/masks"))
    assert dataset.splits() == ["train", "val"]
    for split in dataset.splits():
        [record] = dataset.records(split)
        assert (record.image, record.label) == (f"{split}/a.png", f"{split}/masks/a.png")
    (tmp_path / "train" / "masks" / "a.png").rename(tmp_path / "train" / "masks" / "a.jpg")
    with pytest.raises(UserError, match=r"train/masks/a\.jpg \(JPG is lossy"):
        dataset.records("train")


def test_a_pattern_names_the_ending_of_masks_once(tmp_path: Path) -> None:
    save(tmp_path / "images/train/a.png", IMAGE)
    save(tmp_path / "masks/train/b_mask.png", MASK)
    (tmp_path / "classes.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"expected \S*/masks/train/\*\*/\*_mask\.png, found"):
        open_dataset("folder", tmp_path, FolderOptions(mask_suffix="_mask")).records("train")


def test_masks_named_after_the_whole_file_of_their_image_are_found_as_the_message_says(tmp_path: Path) -> None:
    save(tmp_path / "images/train/a.jpg", IMAGE)
    save(tmp_path / "masks/train/a.jpg.png", MASK)
    (tmp_path / "classes.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"set dataset\.folder\.mask_suffix=\.jpg\.png"):
        open_dataset("folder", tmp_path).records("train")
    [record] = open_dataset("folder", tmp_path, FolderOptions(mask_suffix=".jpg.png")).records("train")
    assert record.label == "masks/train/a.jpg.png"


def test_lists_may_begin_each_path_with_the_folder_that_it_is_in(tmp_path: Path) -> None:
    root = voc(tmp_path)
    (root / "ImageSets/Segmentation/train.txt").write_text("./JPEGImages/2007_000032.jpg\n./2007_000063\n")
    (root / "classes.txt").write_text("a\nb\n")
    options = FolderOptions(images="JPEGImages", masks="SegmentationClass", lists=LISTS)
    assert len(open_dataset("folder", root, options).records("train")) == 2


def test_a_set_without_val_is_refused_with_the_key_that_makes_one(tmp_path: Path) -> None:
    save(tmp_path / "images/train/a.png", IMAGE)
    with pytest.raises(UserError, match=r"no split 'val'.*dataset\.held_out\.share="):
        open_dataset("folder", tmp_path).records("val")
