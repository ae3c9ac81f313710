"""Tables beside the images of a split, tables in CSV, and those that nobody reads."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.datasets import FolderOptions, open_dataset
from pipeline.datasets.dataset_tables import read_tables
from pipeline.datasets.files.tree import Tree, without_mark
from tests.pipeline.datasets.trees import random_image, save, write_folder_image

Output = pytest.CaptureFixture[str]
IMAGE = random_image(np.random.default_rng(0), 16, 32)
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).map(str.strip).filter(bool)


def folder(root: Path) -> Path:
    for split in ("train", "val"):
        for name in ("a", "b"):
            write_folder_image(root, split, f"{name}.png", IMAGE)
    return root


def captions(root: Path, split: str = "train") -> list[tuple[str, ...]]:
    return [record.captions for record in open_dataset("folder", root).records(split)]


@pytest.mark.parametrize("place", ["images/train", "images", ""])
@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_file_names_are_relative_to_the_table(tmp_path: Path, place: str, name: str) -> None:
    folder(tmp_path)
    path = "images/train/b.png".removeprefix(f"{place}/" if place else "")
    content = (
        f"file_name,text\n{path},rain\n" if name.endswith(".csv") else json.dumps({"file_name": path, "text": "rain"})
    )
    (tmp_path / place / name).write_text(content)
    assert captions(tmp_path) == [(), ("rain",)]
    assert captions(tmp_path, "val") == [(), ()]


@settings(max_examples=30)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4), st.sampled_from(",;\t"), st.booleans())
def test_a_csv_table_says_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str, mark: bool
) -> None:
    import csv

    root = tmp_path_factory.mktemp("table")
    with (root / "metadata.csv").open("w", encoding="utf-8-sig" if mark else "utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerow(["File_Name", "text", "weather"])
        writer.writerows([f"{number}.png", *row] for number, row in enumerate(rows))
    found = read_tables(Tree(root)).facts
    assert [(facts.captions, facts.attributes) for facts in found.values()] == [
        ((text,), {"weather": weather}) for text, weather in rows
    ]


def test_wrong_tables_are_refused_in_a_line(tmp_path: Path) -> None:
    folder(tmp_path)
    table = tmp_path / "images/train/metadata.csv"
    table.write_text("image;caption\na.png;rain\n")
    with pytest.raises(UserError, match=r"metadata\.csv has no column 'file_name': found image, caption$"):
        captions(tmp_path)
    table.write_text("file_name,caption\na.png,rain,snow\n")
    with pytest.raises(UserError, match="line 2: 3 values for 2 columns"):
        captions(tmp_path)
    table.write_text("file_name,caption\nimages/train/a.png,rain\n")
    with pytest.raises(UserError, match=r"names none of the images beside it: .* such as a\.png, found images/train/a"):
        captions(tmp_path)
    table.write_text("file_name,caption\na.png,rain\n")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "images/train/a.png", "text": "snow"}))
    with pytest.raises(UserError, match=r"metadata\.csv and .*metadata\.jsonl both describe images/train/a\.png"):
        captions(tmp_path)


def test_tables_that_nobody_reads_are_named(tmp_path: Path, capsys: Output) -> None:
    folder(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,text\nimages/train/a.png,rain\n")
    (tmp_path / "captions.tsv").write_text("a\tb\n")
    (tmp_path / "images/train/metadata.parquet").write_bytes(b"PAR1")
    (tmp_path / "images/train/deep").mkdir()
    (tmp_path / "images/train/a.png").rename(tmp_path / "images/train/deep/a.png")
    (tmp_path / "images/train/deep/metadata.jsonl").write_text("{}")
    said = "that are not read: captions.tsv, images/train/deep/metadata.jsonl, images/train/metadata.parquet"
    assert guarded(["inspect", "folder", str(tmp_path)]) == 0
    assert said in capsys.readouterr().out
    run = ["unlabelled", f"dataset.root={tmp_path}", "--workspace", str(tmp_path / "space"), "--until", "shard"]
    assert guarded(["plan", *run, "--executor", "serial"]) == 0
    assert said in capsys.readouterr().out
    save(tmp_path / "camvid/train/a.png", IMAGE)
    save(tmp_path / "camvid/trainannot/a.png", IMAGE[..., 0] % 11)
    (tmp_path / "camvid/metadata.jsonl").write_text("{}")
    assert guarded(["inspect", "camvid", str(tmp_path / "camvid")]) == 0
    assert "tables that are not read: metadata.jsonl" in capsys.readouterr().out


@given(st.text(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le"]))
def test_a_mark_of_the_byte_order_is_no_part_of_a_text(text: str, encoding: str) -> None:
    marks = {"utf-16-be": codecs.BOM_UTF16_BE, "utf-16-le": codecs.BOM_UTF16_LE}
    plain = text.lstrip("\ufeff\ufffe")
    assert without_mark(marks.get(encoding, b"") + plain.encode(encoding)).decode() == plain


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_every_text_of_a_set_may_begin_with_a_mark(tmp_path: Path, encoding: str) -> None:
    from tests.pipeline.datasets.annotations.test_polygons import square, write

    path = write(tmp_path / "coco", [[square(0, 0, 6)]])
    path.write_text(path.read_text(), encoding=encoding)
    assert open_dataset("coco", tmp_path / "coco").records("train")[0].label is not None
    root = folder(tmp_path / "folder")
    (root / "metadata.jsonl").write_text(
        json.dumps({"file_name": "images/train/a.png", "text": "é"}), encoding=encoding
    )
    (root / "train.txt").write_text("a\n", encoding=encoding)
    [record] = open_dataset("folder", root, FolderOptions(lists="{split}.txt")).records("train")
    assert record.captions == ("é",)
