"""What of a dataset is read: labelled images alone, and a share held out where there is no split for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.datasets import HeldOut, Intake, Record, open_dataset
from pipeline.store import Store
from tests.pipeline.datasets.trees import (
    random_image,
    save,
    write_camvid_image,
    write_cityscapes_image,
    write_folder_image,
)
from tests.pipeline.datasets.trees_coco import PanopticSplit, segment
from tests.pipeline.datasets.trees_sets import write_ade20k_image, write_bdd100k_image

Output = pytest.CaptureFixture[str]
RNG = np.random.default_rng(0)
IMAGE, IDS = random_image(RNG, 16, 32), RNG.integers(1, 3, (16, 32), dtype=np.uint8)
# Road and sidewalk among the label ids of Cityscapes.
STREET = (IDS + 6).astype(np.uint8)


def write(kind: str, root: Path, name: str, labelled: bool, split: str = "train") -> None:
    """An image of a kind, with its label or without."""
    ids = IDS if labelled else None
    match kind:
        case "folder":
            write_folder_image(root, split, f"{name}.png", IMAGE, ids)
            (root / "classes.txt").write_text("a\nb\nc\n")
        case "camvid":
            write_camvid_image(root, split, name, IMAGE, ids)
        case "cityscapes":
            write_cityscapes_image(root, split, f"ulm_000000_{name}", IMAGE, STREET if labelled else None)
        case "ade20k":
            write_ade20k_image(root, "training", name, IMAGE, ids)
        case "bdd100k":
            write_bdd100k_image(root, "10k", split, name, IMAGE, ids)


LABELS = {
    "folder": "masks/train/{}.png",
    "camvid": "trainannot/{}.png",
    "cityscapes": "gtFine/train/ulm/ulm_000000_{}_gtFine_labelIds.png",
    "ade20k": "annotations/training/{}.png",
    "bdd100k": "labels/sem_seg/masks/train/{}.png",
}


@pytest.mark.parametrize("kind", LABELS)
def test_what_has_no_partner_is_left_out_and_counted(kind: str, tmp_path: Path, capsys: Output) -> None:
    for name, labelled in (("a", True), ("b", True), ("c", False), ("d", False)):
        write(kind, tmp_path, name, labelled)
    save(tmp_path / LABELS[kind].format("alone"), IDS)
    dataset = open_dataset(kind, tmp_path)
    with pytest.raises(UserError, match=r"2 of its images have no label.*dataset\.only_labelled=true"):
        Intake().listing(dataset, ["train"])
    listing = Intake(only_labelled=True).listing(dataset, ["train"])
    assert [record.label is not None for record in listing.records["train"]] == [True, True]
    [left_out] = listing.left_out
    assert (len(left_out.images), len(left_out.labels)) == (2, 1)
    said = "left out of train: 2 images without a label"
    assert guarded(["inspect", kind, str(tmp_path)]) == 1
    assert guarded(["inspect", kind, str(tmp_path), "dataset.only_labelled=true"]) == 0
    assert said in capsys.readouterr().out
    run = ["own", f"dataset={kind}", f"dataset.root={tmp_path}", "dataset.splits=[train]", "generate.splits=[train]"]
    more = ["evaluate.split=null", "--workspace", str(tmp_path / "space"), "--executor", "serial", "--until", "shard"]
    assert guarded(["plan", *run, *more]) == 2
    capsys.readouterr()
    for command in ("plan", "run"):
        assert guarded([command, *run, *more, "dataset.only_labelled=true"]) == 0
        assert said in capsys.readouterr().out
    assert Store.open(str(tmp_path / "space/real")).index().num_rows == 2


def test_an_image_that_coco_lists_without_segments_is_left_out(tmp_path: Path) -> None:
    split = PanopticSplit(tmp_path, "train2017")
    split.add("a", np.full((4, 6), 5), [segment(5, 1)])
    split.add("b", None)
    split.write()
    listing = Intake(only_labelled=True).listing(open_dataset("coco", tmp_path), ["train"])
    assert [record.key for record in listing.records["train"]] == ["train_a"]
    assert [left_out.images for left_out in listing.left_out] == [("b.jpg",)]


def test_a_split_that_nothing_is_left_of_is_refused(tmp_path: Path) -> None:
    write("camvid", tmp_path, "a", True)
    write("camvid", tmp_path, "b", False, "test")
    with pytest.raises(UserError, match=r"none of the 1 images of 'test'.*leave 'test' out of dataset\.splits"):
        Intake(only_labelled=True).listing(open_dataset("camvid", tmp_path), ["train", "test"])


def records(names: list[str]) -> list[Record]:
    return [Record(f"train_{name}", "train", f"images/train/{name}.png", f"masks/train/{name}.png") for name in names]


NAMES = st.lists(st.text("abcdefgh0123", min_size=1, max_size=6), min_size=2, max_size=60, unique=True)


@given(NAMES, st.floats(0.01, 0.99), st.integers(0, 3))
def test_each_image_is_on_one_side_and_stays_there_as_others_come(names: list[str], share: float, seed: int) -> None:
    held_out = HeldOut(share=share, seed=seed)
    sides = held_out.divided(records(names))
    assert sorted(record.image for side in sides.values() for record in side) == sorted(
        record.image for record in records(names)
    )
    assert all(record.split == split for split, side in sides.items() for record in side)
    assert all(record.key.startswith(f"{split}_") for split, side in sides.items() for record in side)
    assert sides["train"] and sides["val"]
    assert held_out.divided(records(names[::-1])) == sides
    more = held_out.divided(records([*names, *(f"new{number}" for number in range(50))]))
    kept = {record.image for record in more["val"]}
    # The last one of a side that would be empty is the one exception.
    assert len({record.image for record in sides["val"]} - kept) <= 1


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("ABCDEF"), st.integers(0, 999)), min_size=8, max_size=60, unique=True))
def test_groups_stay_together(frames: list[tuple[str, int]]) -> None:
    names = [f"{sequence}_{number}" for sequence, number in frames]
    if len({sequence for sequence, _ in frames}) < 2:
        names.append("G_0")
    sides = HeldOut(share=0.3, groups=r"train/([A-Z])_").divided(records(names))
    of_side = [{record.image.split("/")[2][0] for record in side} for side in sides.values()]
    assert all(of_side)
    assert of_side[0].isdisjoint(of_side[1])


def test_the_share_is_nearly_that_of_the_images() -> None:
    sides = HeldOut(share=0.2).divided(records([f"{number:05d}" for number in range(2000)]))
    assert 330 <= len(sides["val"]) <= 470


def test_what_cannot_be_divided_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.held_out\.groups: 'x' is not found in images/train/a\.png"):
        HeldOut(share=0.5, groups="x").divided(records(["a", "b"]))
    with pytest.raises(UserError, match="are one group, 'train'"):
        HeldOut(share=0.5, groups="train").divided(records(["a", "b"]))
    for split in ("train", "val"):
        write("camvid", tmp_path, "a", True, split)
    with pytest.raises(UserError, match="has the split 'val'"):
        Intake(held_out=HeldOut(share=0.5)).listing(open_dataset("camvid", tmp_path), ["train"])


def test_every_command_holds_the_same_images_out(tmp_path: Path, capsys: Output) -> None:
    for number in range(12):
        write("cityscapes", tmp_path, f"{number:06d}", True)
    held_out = ["dataset.held_out.share=0.3", "dataset.held_out.groups=_(\\d{5})\\d_left"]
    assert guarded(["inspect", "cityscapes", str(tmp_path), "--json", *held_out]) == 0
    splits = json.loads(capsys.readouterr().out)["cityscapes"]["splits"]
    counts = {split: found["samples"] for split, found in splits.items()}
    assert sorted(counts.values()) == [2, 10]
    run = ["own", "dataset=cityscapes", f"dataset.root={tmp_path}", *held_out]
    more = ["--workspace", str(tmp_path / "space"), "--executor", "serial", "--until", "shard"]
    assert guarded(["plan", *run, *more]) == 0
    assert guarded(["run", *run, *more]) == 0
    index = Store.open(str(tmp_path / "space/real")).index()
    assert {split: index["split"].to_pylist().count(split) for split in counts} == counts
    assert guarded(["plan", *run[:3], "dataset.held_out.groups=(", *more]) == 2
    assert "is no regular expression" in capsys.readouterr().err


def test_inspect_names_a_split_that_has_no_labelled_image_as_plan_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "images/val/a.png", np.zeros((16, 24, 3), np.uint8))
    save(tmp_path / "images/train/a.png", np.zeros((16, 24, 3), np.uint8))
    save(tmp_path / "masks/train/a.png", np.resize(np.arange(2, dtype=np.uint8), (16, 24)))
    (tmp_path / "masks/val").mkdir()
    (tmp_path / "classes.txt").write_text("a\nb\n")
    said = "dataset.only_labelled: none of the 1 images of 'val'"
    assert guarded(["inspect", "folder", str(tmp_path), "dataset.only_labelled=true"]) == 1
    assert said in capsys.readouterr().out
    plan = ["plan", "own", f"dataset.root={tmp_path}", "--workspace", str(tmp_path / "space")]
    assert guarded([*plan, "dataset.only_labelled=true"]) == 2
    assert said in capsys.readouterr().err


def test_inspect_takes_any_name_for_what_is_held_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abcdef":
        save(tmp_path / f"images/train/{name}.png", np.zeros((16, 24, 3), np.uint8))
    settings = ["dataset.held_out.share=0.3", "dataset.held_out.split=dev"]
    assert guarded(["inspect", "folder", str(tmp_path), *settings]) == 0
    assert "dev" in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images/{split}", "labels/{split}/{name}.png"),
        ("images/{split}", "annotations/{name}.xml"),
        ("images/{split}", "labels/{split}/{name}_mask.png"),
        ("{split}/images", "{split}/labels/{name}.txt"),
    ],
)
def test_files_named_as_the_images_of_a_set_without_labels_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], images: str, labels: str
) -> None:
    files = []
    for split in ("train", "val"):
        for name in ("a", "b"):
            save(tmp_path / images.format(split=split) / f"{split}{name}.png", np.zeros((16, 24, 3), np.uint8))
            files.append(labels.format(split=split, name=f"{split}{name}"))
    said = "files in other folders have the names of images"
    settings = [f"dataset.folder={{images: '{images}'}}"]
    assert guarded(["inspect", "folder", str(tmp_path), *settings]) == 0
    assert said not in capsys.readouterr().out
    for path in files:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"0")
    plan = ["plan", "own", f"dataset.root={tmp_path}", "--workspace", str(tmp_path / "space"), "--until", "shard"]
    for command in (["inspect", "folder", str(tmp_path)], plan):
        assert guarded([*command, *settings]) == 0
        assert f"{said}: {min(files)}" in capsys.readouterr().out
