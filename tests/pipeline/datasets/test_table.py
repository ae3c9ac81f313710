"""The table of the images: readers return what is written in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import UserError
from pipeline.datasets import Box, open_dataset
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.record import Facts
from pipeline.datasets.table import ORIGIN, read_table
from tests.pipeline.datasets.trees import random_image, save

NAMES = st.text("abcdefg_", min_size=1, max_size=9).filter(lambda name: name not in ORIGIN)
SIDES = st.floats(0, 4096, allow_nan=False)
BOXES = st.builds(Box, st.text(max_size=5), SIDES, SIDES, SIDES, SIDES)
FACTS = st.builds(
    Facts, st.dictionaries(NAMES, st.text()), st.lists(st.text()).map(tuple), st.lists(BOXES, max_size=3).map(tuple)
)


def write(root: Path, *rows: Mapping[str, Any] | str) -> Tree:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (root / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Tree(root)


@given(facts=st.lists(FACTS, min_size=1, max_size=4))
def test_what_is_written_is_what_is_reported(tmp_path_factory: pytest.TempPathFactory, facts: list[Facts]) -> None:
    rows = [
        {
            "file_name": f"images/train/{number} ä.png",
            "key": "of no interest",
            "metadata": {
                "dataset": "camvid",
                "k": 5,
                "labelled": False,
                **one.attributes,
                "captions": one.captions,
                "boxes": [asdict(box) for box in one.boxes],
            },
        }
        for number, one in enumerate(facts)
    ]
    found = read_table(write(tmp_path_factory.mktemp("table"), *rows))
    assert list(found.values()) == facts
    assert list(found) == [row["file_name"] for row in rows]


def test_text_beside_a_name_is_a_caption(tmp_path: Path) -> None:
    tree = write(tmp_path, {"file_name": "a.png", "text": "a cat"}, "", {"file_name": "b.png", "caption": "a dog"})
    assert {name: facts.captions for name, facts in read_table(tree).items()} == {
        "a.png": ("a cat",),
        "b.png": ("a dog",),
    }


def test_marks_of_editors_and_other_spellings_of_paths_are_understood(tmp_path: Path) -> None:
    rows = ['{"file_name": "./images/a.png", "text": "a cat"}', "", '{"file_name": "images//b.png", "text": "a dog"}']
    (tmp_path / "metadata.jsonl").write_text("\r\n".join(rows), encoding="utf-8-sig")
    found = read_table(Tree(tmp_path))
    assert {name: facts.captions for name, facts in found.items()} == {
        "images/a.png": ("a cat",),
        "images/b.png": ("a dog",),
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 2: .*truncated"),
        ({"text": "a cat"}, "line 2: .*file_name"),
        ({"file_name": "b.png", "metadata": {"captions": "a cat"}}, r"line 2: Expected .array., got .str. .*captions"),
        ({"file_name": "b.png", "metadata": {"boxes": [{"left": 1}]}}, "line 2: .*category"),
        ({"file_name": "./a.png"}, r"line 2: a\.png is in an earlier line too"),
        ({"file_name": "b.png", "metadata": {"a:b": "c"}}, "line 2: 'a:b' cannot be the name of an attribute"),
    ],
)
def test_line_that_is_wrong_is_named(tmp_path: Path, row: Mapping[str, Any] | str, message: str) -> None:
    with pytest.raises(UserError, match=rf"metadata\.jsonl, {message}"):
        read_table(write(tmp_path, {"file_name": "a.png"}, row))


def test_folder_without_labels_may_tell_of_its_images(tmp_path: Path) -> None:
    image = random_image(np.random.default_rng(0), 8, 8)
    for name in ("a", "b"):
        save(tmp_path / f"images/train/{name}.png", image)
    before = open_dataset("folder", tmp_path).records("train")
    facts = {"weather": "rain", "captions": ["a cat"], "boxes": [asdict(Box("cat", 1, 2, 3, 4))]}
    write(tmp_path, {"file_name": "images/train/a.png", "metadata": facts})
    a, b = open_dataset("folder", tmp_path).records("train")
    assert (a.attributes, a.captions) == ({"medium": "photo", "weather": "rain"}, ("a cat",))
    assert open_dataset("folder", tmp_path).load(a).boxes == (Box("cat", 1, 2, 3, 4),)
    assert b == before[1]


def test_table_of_other_paths_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "images/train/a.png", random_image(np.random.default_rng(0), 8, 8))
    write(tmp_path, {"file_name": "a.png", "text": "a cat"})
    with pytest.raises(UserError, match=r"names none of the images: expected .* images/train/a\.png, found a\.png"):
        open_dataset("folder", tmp_path).records("train")


def test_strings_beside_the_file_name_are_attributes_as_columns_are(tmp_path: Path) -> None:
    row = {"file_name": "a.png", "text": "a street", "weather": "rain", "k": 5, "split": "train", "key": "train_a"}
    assert read_table(write(tmp_path, row)) == {"a.png": Facts({"weather": "rain"}, ("a street",))}
    # What the metadata say counts.
    both = {"file_name": "a.png", "weather": "rain", "metadata": {"weather": "fog"}}
    assert read_table(write(tmp_path, both)) == {"a.png": Facts({"weather": "fog"})}
