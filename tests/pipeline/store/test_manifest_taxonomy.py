"""A store names the classes of its labels, or holds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from pipeline.store import FingerprintMismatch, Manifest, Sample, SampleReader, Store, taxonomy_of, verify_store
from pipeline.taxonomies import CAMVID, Taxonomy, taxonomy_entry, taxonomy_of_classes
from tests.pipeline.store.samples import manifest

HARBOUR = taxonomy_of_classes("harbour", ["ship", "sea", "quay"], things=["ship"])
WIDE = taxonomy_of_classes("wide", [f"class {number}" for number in range(3000)])


def store_of(folder: Path, taxonomy: Taxonomy, ids: list[int]) -> Store:
    store = Store.create(str(folder), manifest(taxonomy=taxonomy_entry(taxonomy), geometry={}))
    label = np.array([ids], taxonomy.dtype)
    store.write_shard("train-000000", [Sample("a", np.zeros((1, len(ids), 3), np.uint8), label)])
    return store


def test_a_store_of_a_known_name_is_the_same_store_as_ever() -> None:
    named = Manifest("real", taxonomy_entry(CAMVID), {"height": 16, "width": 24}, {"dataset": "camvid"})
    assert named.content["taxonomy"] == "camvid"
    assert named.fingerprint == "580da29205cefaefd4e3c418469448d89c18de66f435b5e063f0e4589c7f9616"


@pytest.mark.parametrize("taxonomy", [CAMVID, HARBOUR, WIDE], ids=lambda taxonomy: taxonomy.name)
def test_the_classes_are_read_from_the_store_alone(tmp_path: Path, taxonomy: Taxonomy) -> None:
    store = store_of(tmp_path, taxonomy, [0, len(taxonomy) - 1, taxonomy.ignore_index])
    opened = Store.open(store.url)
    assert taxonomy_of(opened.manifest) == taxonomy
    assert opened.manifest == store.manifest
    label = SampleReader(opened).read("a").label
    assert label is not None and label.dtype == taxonomy.dtype
    assert verify_store(store.url) == []


@pytest.mark.parametrize(("taxonomy", "wrong"), [(HARBOUR, 3), (WIDE, 3000), (WIDE, 255 * 256)])
def test_verify_knows_the_ids_of_a_users_classes(tmp_path: Path, taxonomy: Taxonomy, wrong: int) -> None:
    store = store_of(tmp_path, taxonomy, [0, wrong])
    (fault,) = verify_store(store.url)
    assert fault == f"shards/train-000000.tar: a: label ids [{wrong}] are not in {taxonomy.name}"


def test_other_classes_make_another_store(tmp_path: Path) -> None:
    store_of(tmp_path, HARBOUR, [0])
    renamed = taxonomy_of_classes("harbour", ["boat", "sea", "quay"], things=["boat"])
    with pytest.raises(FingerprintMismatch, match=r"taxonomy\.classes: stored .*ship.*, requested .*boat"):
        store_of(tmp_path, renamed, [0])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("moon", "unknown taxonomy 'moon'"),
        ({"name": "mine", "classes": ["a"]}, "not a taxonomy: palette: Field required"),
        ([1], r"not a taxonomy: \[1\] is no JSON object"),
    ],
)
def test_an_object_that_is_no_taxonomy_is_reported(tmp_path: Path, entry: object, said: str) -> None:
    store = Store.create(str(tmp_path), manifest(taxonomy=entry))
    with pytest.raises(UserError, match=said):
        taxonomy_of(Store.open(store.url).manifest)
    (fault,) = verify_store(store.url)
    assert fault.startswith("store.json: ")


def test_a_store_without_labels_has_no_classes() -> None:
    assert taxonomy_of(manifest(taxonomy=None)) is None
