"""An export is complete or absent, lists its samples, and contains the requested splits."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.datasets import Box, FolderOptions, open_dataset
from pipeline.export import FORMATS, FormatName, export_store
from pipeline.store import CorruptStore, Sample, Store
from tests.pipeline.export.stores import read, sample, write_store

TEN = [sample(f"{split}_s{number}", split) for split in ("train", "val") for number in range(5)]


def table(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", FORMATS)
def test_table_names_the_image_and_all_metadata_of_every_sample(tmp_path: Path, name: str) -> None:
    write_store(tmp_path / "store", TEN)
    out = tmp_path / "out"
    assert guarded(["export", str(tmp_path / "store"), str(out), "--format", name]) == 0
    rows = table(out)
    assert {row["key"]: row["metadata"] for row in rows} == {s.key: s.metadata for s in TEN}
    assert all((out / str(row["file_name"])).is_file() for row in rows)
    assert len({row["file_name"] for row in rows}) == len(TEN)


@pytest.mark.parametrize("name", ["cityscapes", "folder"])
@pytest.mark.parametrize("kind", ["real", "synthetic"])
def test_reader_gives_the_metadata_of_the_store_for_each_image(tmp_path: Path, name: FormatName, kind: str) -> None:
    boxes = (Box("car", 1, 2.5, 3, 4), Box("tram", 0, 0, 9, 9))
    facts = {"captions": ["a street", "cars"], "boxes": [asdict(box) for box in boxes], "k": 5, "prompt": "a street"}
    made = [
        sample("train_a_k05", "train", medium="synthetic", city="ulm", **facts),
        sample("train_b_k05", "train", medium="synthetic"),
    ]
    write_store(tmp_path / "store", made, kind=kind)
    export_store(str(tmp_path / "store"), str(tmp_path / "out"), name)
    a, b = open_dataset(name, tmp_path / "out").records("train")  # type: ignore[arg-type]
    assert a.attributes == {"medium": "synthetic", "city": "ulm", "weather": "rain"}
    assert b.attributes == {"medium": "synthetic", "weather": "rain"}
    assert (a.captions, a.boxes, b.captions, b.boxes) == (("a street", "cars"), boxes, (), ())
    if name == "cityscapes":
        # Tools of Cityscapes know no such folder, so that it may not be kept.
        shutil.rmtree(tmp_path / "out/attributes")
        assert open_dataset(name, tmp_path / "out").records("train") == [a, b]


def test_split_and_limit_choose_from_all_over_and_change_no_name(tmp_path: Path) -> None:
    write_store(tmp_path / "store", TEN)
    export_store(str(tmp_path / "store"), str(tmp_path / "whole"), "cityscapes")
    command = ["export", str(tmp_path / "store"), str(tmp_path / "part"), "--format", "cityscapes"]
    assert guarded([*command, "--split", "val", "--limit", "2"]) == 0
    part = table(tmp_path / "part")
    first, second = (row["key"] for row in part)
    assert first in ("val_s0", "val_s1")
    assert second in ("val_s2", "val_s3")
    assert all(row in table(tmp_path / "whole") for row in part)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--split", "test"], "--split test: the store has train, val"),
        (["--limit", "0"], "--limit 0"),
    ],
)
def test_a_wrong_option_is_reported_in_one_line(
    tmp_path: Path, options: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "store", TEN)
    assert guarded(["export", str(tmp_path / "store"), str(tmp_path / "out"), "--format", "folder", *options]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_destination_that_is_not_empty_is_left_unchanged(tmp_path: Path) -> None:
    write_store(tmp_path / "store", TEN)
    (tmp_path / "thesis.tex").write_text("years of work")
    for place in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(UserError, match="name a folder that is absent or empty"):
            export_store(str(tmp_path / "store"), str(place), "folder")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert export_store(str(tmp_path / "store"), str(tmp_path / "empty"), "folder").samples == 10


def test_nothing_is_left_of_an_export_that_fails(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", TEN)
    [tar] = (tmp_path / "store" / "shards").glob("*.tar")
    with tar.open("r+b") as file:
        file.truncate(tar.stat().st_size // 2)
    with pytest.raises(CorruptStore, match="cut short"):
        export_store(store.url, str(tmp_path / "out"), "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_store_without_images_or_without_classes_is_refused(tmp_path: Path) -> None:
    write_store(tmp_path / "nameless", TEN, taxonomy=None)
    with pytest.raises(UserError, match="names no taxonomy"):
        export_store(str(tmp_path / "nameless"), str(tmp_path / "out"), "folder")
    write_store(tmp_path / "bare", [type(TEN[0])("a", label=TEN[0].label)])
    with pytest.raises(UserError, match="holds no images"):
        export_store(str(tmp_path / "bare"), str(tmp_path / "out"), "folder")


@pytest.mark.parametrize("name", ["folder", "coco"])
def test_sample_without_label_is_an_image_alone(tmp_path: Path, name: FormatName) -> None:
    bare = sample("train_z", "train")
    bare = type(bare)(bare.key, bare.image, metadata=bare.metadata)
    write_store(tmp_path / "store", [TEN[0], bare])
    assert export_store(str(tmp_path / "store"), str(tmp_path / "out"), name).samples == 2
    write_store(tmp_path / "unlabelled", [bare], taxonomy=None)
    assert export_store(str(tmp_path / "unlabelled"), str(tmp_path / "alone"), name).samples == 1
    pictures = {path.relative_to(tmp_path / "alone").as_posix() for path in (tmp_path / "alone").rglob("*.png")}
    assert pictures == {str(row["file_name"]) for row in table(tmp_path / "alone")}


def without_label(key: str, split: str) -> Sample:
    return replace(sample(key, split), label=None, instances=None)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([*TEN, without_label("val_z", "val")], "1 of 6 samples of split 'val' have no label"),
        ([without_label("train_z", "train")], "1 of 1 samples of split 'train' have no label"),
        ([*TEN, sample("test_a", "test"), without_label("test_z", "test")], "1 of 2 samples of split 'test'"),
    ],
)
def test_cityscapes_export_that_could_not_be_read_back_is_refused(
    tmp_path: Path, samples: list[Sample], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "store", samples)
    assert guarded(["export", str(tmp_path / "store"), str(tmp_path / "out"), "--format", "cityscapes"]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert "--format folder" in message
    assert message.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_cityscapes_export_may_have_a_test_split_without_labels(tmp_path: Path) -> None:
    write_store(tmp_path / "store", [*TEN, without_label("test_z", "test")])
    assert export_store(str(tmp_path / "store"), str(tmp_path / "out"), "cityscapes").labelled == 10
    assert len(open_dataset("cityscapes", tmp_path / "out").records("test")) == 1


def test_folder_export_says_how_to_read_what_is_labelled_in_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "store", [*TEN, without_label("val_z", "val"), without_label("test_z", "test")])
    for split, expected in (("train", False), ("test", False), ("val", True)):
        command = ["export", str(tmp_path / "store"), str(tmp_path / split), "--format", "folder", "--split", split]
        assert guarded(command) == 0
        output = capsys.readouterr()
        assert ("dataset.folder.partly_labelled=true" in output.out + output.err) == expected


def test_splits_that_are_labelled_as_a_whole_or_not_at_all_are_not_labelled_in_part(tmp_path: Path) -> None:
    write_store(tmp_path / "store", [*TEN, without_label("test_z", "test")])
    assert not export_store(str(tmp_path / "store"), str(tmp_path / "out"), "folder").labelled_in_part


def test_training_images_without_labels_beside_others_with_them_are_read_as_labelled_in_part(tmp_path: Path) -> None:
    labelled = [sample for sample in TEN if sample.key.startswith("val")]
    write_store(tmp_path / "store", [*labelled, without_label("train_z", "train")])
    assert export_store(str(tmp_path / "store"), str(tmp_path / "out"), "folder").labelled_in_part
    with pytest.raises(UserError, match=r"1 of its images have no label"):
        open_dataset("folder", tmp_path / "out").records("train")
    assert len(open_dataset("folder", tmp_path / "out", FolderOptions(partly_labelled=True)).records("train")) == 1


def test_key_that_is_nothing_but_its_split_keeps_its_name(tmp_path: Path) -> None:
    write_store(tmp_path / "store", [sample("train_", "train"), sample("train_a", "train")])
    export_store(str(tmp_path / "store"), str(tmp_path / "out"), "folder")
    assert sorted(path.stem for path in (tmp_path / "out/images/train").iterdir()) == ["train_", "train_a"]


def test_export_goes_to_a_bucket_from_a_bucket(tmp_path: Path, bucket: str) -> None:
    write_store(tmp_path / "store", TEN[:2])
    store = Store.create(f"{bucket}/store", Store.open(str(tmp_path / "store")).manifest)
    store.write_shard("all-000000", read(tmp_path / "store").values())
    assert export_store(store.url, f"{bucket}/out", "folder").samples == 2
    assert export_store(str(tmp_path / "store"), str(tmp_path / "out"), "folder").samples == 2
    here = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    from pipeline.store.location import Location

    there = Location(f"{bucket}/out")
    assert set(there.find("")) == here
    assert all(there.read(path) == (tmp_path / "out" / path).read_bytes() for path in here)
    with pytest.raises(UserError, match="is not empty"):
        export_store(store.url, f"{bucket}/out", "folder")
