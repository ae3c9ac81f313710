"""A taxonomy of a user's own, from its classes to JSON and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import UserError
from pipeline.taxonomies import (
    CITYSCAPES,
    TAXONOMIES,
    colorize,
    taxonomy_entry,
    taxonomy_of_classes,
    taxonomy_of_entry,
)
from pipeline.taxonomies.user import distinct_palette


def test_generated_colours_differ_and_leave_black_to_what_is_ignored() -> None:
    palette = distinct_palette(4000)
    assert len({*palette, (0, 0, 0)}) == 4001
    assert palette[:3] == ((128, 0, 0), (0, 128, 0), (128, 128, 0))
    # More classes do not change the colours of the first ones.
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
def test_a_known_taxonomy_is_written_as_its_name(name: str) -> None:
    assert taxonomy_entry(TAXONOMIES[name]) == name
    assert taxonomy_of_entry(name) is TAXONOMIES[name]


def test_other_classes_under_a_known_name_are_written_whole() -> None:
    impostor = taxonomy_of_classes("cityscapes", ["ship", "sea"])
    entry = taxonomy_entry(impostor)
    assert isinstance(entry, dict)
    assert taxonomy_of_entry(entry) == impostor != CITYSCAPES


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown taxonomy 'moon' .*ade20k, camvid, camvid32, cityscapes, coco-stuff"):
        taxonomy_of_entry("moon")
