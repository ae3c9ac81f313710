"""Whatever a store holds comes back when our reader of the format reads its export."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.datasets import FolderOptions, Frame, Record, open_dataset
from pipeline.export import FormatName, export_store
from pipeline.stages.dataset_source import sample_of
from pipeline.stages.descriptions import content_attributes
from pipeline.store import Manifest, Sample, Store
from pipeline.taxonomies import CAMVID, CITYSCAPES, Taxonomy, taxonomy_entry, taxonomy_of_classes

HARBOUR = taxonomy_of_classes("harbour", ["ship", "sea", "quay"], ["ship"])
WIDE = taxonomy_of_classes("wide", [f"class {number}" for number in range(300)], ["class 0", "class 299"])
SHAPE = (5, 6)
NAMES = st.text("ab01_-", min_size=1, max_size=4)
TEXTS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8)
SIDES = st.floats(0, 40)
BOXES = st.fixed_dictionaries(
    {
        "category": st.sampled_from(["ship", "car", "scooter"]),
        **dict.fromkeys(("left", "top", "width", "height"), SIDES),
    }
)
FACTS = st.fixed_dictionaries(
    {},
    optional={
        "captions": st.lists(TEXTS, min_size=1, max_size=2),
        "boxes": st.lists(BOXES, min_size=1, max_size=2),
        "medium": st.sampled_from(["photo", "synthetic"]),
        "weather": TEXTS,
        "prompt": TEXTS,
    },
)


class Content(NamedTuple):
    """What a store is made of."""

    taxonomy: Taxonomy | None
    samples: list[Sample]


class Found(NamedTuple):
    """An image of an export, and the sample that it was."""

    record: Record
    frame: Frame
    sample: Sample


@st.composite
def samples(draw: st.DrawFn, key: str, split: str, taxonomy: Taxonomy | None, always: bool) -> Sample:
    label = instances = None
    if taxonomy is not None and (always or draw(st.booleans())):
        ids = st.sampled_from([0, 1, len(taxonomy) - 1, taxonomy.ignore_index])
        label = draw(hnp.arrays(taxonomy.dtype, SHAPE, elements=ids))
        instances = draw(st.none() | hnp.arrays(np.uint16, SHAPE, elements=st.integers(0, 3) | st.just(65535)))
    image = draw(hnp.arrays(np.uint8, (*SHAPE, 3)))
    metadata: dict[str, Any] = {"medium": "photo", "dataset": "made", "split": split, **draw(FACTS)}
    return Sample(key, image, label, instances=instances, metadata=metadata)


@st.composite
def contents(draw: st.DrawFn, *taxonomies: Taxonomy | None, always_labelled: bool = False) -> Content:
    """Up to four samples of up to three splits, whose keys begin with the split or do not."""
    taxonomy, prefixed = draw(st.sampled_from(taxonomies)), draw(st.booleans())
    names = draw(st.dictionaries(NAMES, st.sampled_from(["train", "val", "day-2"]), min_size=1, max_size=4))
    keys = {f"{split}_{name}" if prefixed else name: split for name, split in names.items()}
    return Content(taxonomy, [draw(samples(key, split, taxonomy, always_labelled)) for key, split in keys.items()])


@contextmanager
def exported(content: Content, name: FormatName) -> Iterator[Path]:
    """A folder that a store of this content was exported to."""
    with tempfile.TemporaryDirectory() as folder:
        entry = taxonomy_entry(content.taxonomy) if content.taxonomy else None
        store = Store.create(f"{folder}/store", Manifest("real", entry, {}, {}, "png"))
        store.write_shard("all-000000", content.samples)
        export_store(store.url, f"{folder}/out", name)
        yield Path(folder, "out")


def read_again(content: Content, folder: Path, name: FormatName, options: FolderOptions | None = None) -> list[Found]:
    """Every image that the reader finds, after a look at its pixels, split, classes and facts."""
    dataset = open_dataset(name, folder, options)
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    keys, by_key = {line["file_name"]: line["key"] for line in lines}, {made.key: made for made in content.samples}
    records = [record for split in dataset.splits() for record in dataset.records(split)]
    assert sorted(keys[record.image] for record in records) == sorted(by_key)
    if any(made.label is not None for made in content.samples):
        assert dataset.taxonomy == content.taxonomy
    found = [Found(record, dataset.load(record), by_key[keys[record.image]]) for record in records]
    for record, frame, made in found:
        assert record.split == made.metadata["split"]
        assert record.attributes == content_attributes(made)
        assert list(record.captions) == made.metadata.get("captions", [])
        assert sample_of(record.key, frame, {}).metadata.get("boxes", []) == made.metadata.get("boxes", [])
        np.testing.assert_array_equal(frame.image, made.image)
        assert (frame.label is None) == (made.label is None)
        if made.label is not None and frame.label is not None:
            assert frame.label.dtype == made.label.dtype
            np.testing.assert_array_equal(frame.label, made.label)
    return found


def numbers(instances: np.ndarray | None) -> np.ndarray:
    """An instance map; one without any object where there is none."""
    return np.zeros(SHAPE, np.uint16) if instances is None else instances


def objects_of(sample: Sample, taxonomy: Taxonomy | None) -> np.ndarray:
    """The instance map without the object that has the ignored value's number and covers ignored pixels alone.

    That is how PASCAL VOC marks the ignored pixels of its instance maps, and `docs/datasets/folder.md` says so.
    """
    objects = numbers(sample.instances)
    if taxonomy is None or sample.label is None:
        return objects
    void = objects == taxonomy.ignore_index
    return np.where(void, 0, objects) if (sample.label[void] == taxonomy.ignore_index).all() else objects


def names_of_things(content: Content) -> tuple[str, ...]:
    assert content.taxonomy is not None
    return content.taxonomy.things or content.taxonomy.classes


@settings(max_examples=40)
@given(contents(None, CITYSCAPES, CAMVID, HARBOUR, WIDE))
def test_coco_gives_labels_and_objects_back(content: Content) -> None:
    with exported(content, "coco") as folder:
        for _, frame, made in read_again(content, folder, "coco"):
            if made.label is not None and content.taxonomy is not None:
                # Only classes of things have objects there.
                things = [content.taxonomy.classes.index(name) for name in names_of_things(content)]
                expected = np.where(np.isin(made.label, things), numbers(made.instances), 0)
                np.testing.assert_array_equal(numbers(frame.instances), expected)


@settings(max_examples=40)
@given(contents(CITYSCAPES, CAMVID, HARBOUR, WIDE))
def test_folder_gives_labels_and_objects_back(content: Content) -> None:
    with exported(content, "folder") as folder:
        for _, frame, made in read_again(content, folder, "folder", FolderOptions(partly_labelled=True)):
            np.testing.assert_array_equal(numbers(frame.instances), objects_of(made, content.taxonomy))


@settings(max_examples=40)
@given(contents(CITYSCAPES, CAMVID, HARBOUR, always_labelled=True))
def test_cityscapes_gives_labels_and_what_shares_an_object_back(content: Content) -> None:
    with exported(content, "cityscapes") as folder:
        for _, frame, made in read_again(content, folder, "cityscapes"):
            if content.taxonomy == CITYSCAPES and made.label is not None:
                things = [CITYSCAPES.classes.index(name) for name in CITYSCAPES.things]
                expected = np.where(np.isin(made.label, things), numbers(made.instances), 0)
                # The objects of each class are numbered by themselves.
                pairs = np.stack([made.label, expected, numbers(frame.instances)], axis=-1).reshape(-1, 3)
                together = np.unique(pairs[pairs[:, 1] > 0], axis=0)
                assert len(np.unique(together[:, 2])) == len(together)
                np.testing.assert_array_equal(numbers(frame.instances) > 0, expected > 0)


@pytest.mark.parametrize("name", ["coco", "folder", "cityscapes"])
def test_real_photographs_come_back_whole(name: FormatName, camvid_root: Path) -> None:
    dataset = open_dataset("camvid", camvid_root)
    records = [record for split in ("train", "val") for record in dataset.records(split)[::50]]
    facts = {"dataset": "camvid", "medium": "photo"}
    made = [sample_of(record.key, dataset.load(record), {**facts, "split": record.split}) for record in records]
    content = Content(CAMVID, made)
    with exported(content, name) as folder:
        assert len(read_again(content, folder, name)) == len(made) > 5
