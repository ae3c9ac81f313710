"""A taxonomy of a user's own, from its classes to JSON and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import UserError
from pipeline.taxonomies import (
    CITYSCAPES,
    TAXONOMIES,
    Taxonomy,
    colorize,
    read_classes,
    taxonomy_entry,
    taxonomy_of_classes,
    taxonomy_of_entry,
)
from pipeline.taxonomies.user import distinct_palette


def test_generated_colours_differ_and_leave_black_to_what_is_ignored() -> None:
    palette = distinct_palette(4000)
    assert len({*palette, (0, 0, 0)}) == 4001
    assert palette[:3] == ((128, 0, 0), (0, 128, 0), (128, 128, 0))
    # More classes later do not recolour those there are.
    assert distinct_palette(7) == palette[:7]


@pytest.mark.parametrize(("count", "dtype", "ignore_index"), [(255, "uint8", 255), (256, "uint16", 65535)])
def test_labels_are_as_wide_as_the_classes_need(count: int, dtype: str, ignore_index: int) -> None:
    taxonomy = taxonomy_of_classes("many", [f"class {number}" for number in range(count)])
    assert (np.dtype(taxonomy.dtype).name, taxonomy.ignore_index) == (dtype, ignore_index)
    label = np.array([[count - 1, ignore_index]], dtype)
    assert colorize(label, taxonomy).tolist() == [[list(taxonomy.palette[-1]), [0, 0, 0]]]


@given(st.lists(st.text(min_size=1), min_size=1, max_size=300, unique=True), st.data())
def test_a_taxonomy_comes_back_from_json_as_it_was(classes: list[str], data: st.DataObject) -> None:
    things = data.draw(st.lists(st.sampled_from(classes), unique=True))
    taxonomy = taxonomy_of_classes("mine", classes, things)
    assert taxonomy_of_entry(json.loads(json.dumps(taxonomy_entry(taxonomy)))) == taxonomy


@pytest.mark.parametrize("name", TAXONOMIES)
def test_what_a_name_stands_for_is_written_as_its_name(name: str) -> None:
    assert taxonomy_entry(TAXONOMIES[name]) == name
    assert taxonomy_of_entry(name) is TAXONOMIES[name]


def test_other_classes_under_a_known_name_are_written_whole() -> None:
    impostor = taxonomy_of_classes("cityscapes", ["ship", "sea"])
    entry = taxonomy_entry(impostor)
    assert isinstance(entry, dict)
    assert taxonomy_of_entry(entry) == impostor != CITYSCAPES


def test_a_text_file_has_a_class_a_line(tmp_path: Path) -> None:
    (tmp_path / "harbour.txt").write_text("ship\nopen sea\n\n quay \n")
    assert read_classes(tmp_path / "harbour.txt") == taxonomy_of_classes("harbour", ["ship", "open sea", "quay"])


def test_a_json_file_may_give_colours_and_things(tmp_path: Path) -> None:
    path = tmp_path / "harbour.json"
    path.write_text('{"classes": ["ship", "sea"], "palette": [[9, 8, 7], [0, 0, 255]], "things": ["ship"]}')
    assert read_classes(path) == Taxonomy("harbour", ("ship", "sea"), ((9, 8, 7), (0, 0, 255)), things=("ship",))
    path.write_text('{"classes": ["ship", "sea"]}')
    assert read_classes(path) == taxonomy_of_classes("harbour", ["ship", "sea"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "Expecting property name"),
        ("[1]", 'expected a JSON object with "classes"'),
        ('{"classes": []}', 'expected a JSON object with "classes"'),
        ('{"classes": ["a", "a"]}', "two classes are called 'a'"),
        ('{"classes": ["a"], "colours": []}', "a taxonomy has no 'colours': it has name, classes, palette"),
        ('{"classes": ["a"], "palette": [["red", 0, 0]]}', r"palette\.0\.0: Input should be a valid integer"),
        ('{"classes": ["a"], "palette": []}', "1 classes but 0 colours"),
    ],
)
def test_a_wrong_classes_file_is_named_with_what_is_wrong(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(UserError, match=rf"^classes file .*mine\.json: .*{said}") as raised:
        read_classes(path)
    assert "\n" not in str(raised.value)


def test_a_missing_classes_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.txt does not exist: give one class a line"):
        read_classes(tmp_path / "nowhere.txt")


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"unknown taxonomy 'moon' .*ade20k, camvid, camvid32, cityscapes, coco-stuff"):
        taxonomy_of_entry("moon")
