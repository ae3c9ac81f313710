"""Labels of one set in the classes of another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from augment.errors import UserError
from pipeline.datasets import open_dataset
from pipeline.taxonomies import (
    ADE20K,
    BDD100K,
    CAMVID,
    CAMVID32,
    CITYSCAPES,
    COCO_STUFF,
    TAXONOMIES,
    Taxonomy,
    mapping_table,
    taxonomy_of_classes,
    translate,
)
from pipeline.taxonomies.camvid import SEGNET_GROUPS
from pipeline.taxonomies.to_cityscapes import ADE20K_GROUPS, CAMVID32_GROUPS, CAMVID_GROUPS, COCO_STUFF_GROUPS, Groups

PAIRS = [
    (CAMVID, CITYSCAPES, CAMVID_GROUPS),
    (CAMVID32, CITYSCAPES, CAMVID32_GROUPS),
    (CAMVID32, CAMVID, SEGNET_GROUPS),
    (ADE20K, CITYSCAPES, ADE20K_GROUPS),
    (COCO_STUFF, CITYSCAPES, COCO_STUFF_GROUPS),
]
WIDE = taxonomy_of_classes("wide", [f"class {number}" for number in range(3000)])
pairs = pytest.mark.parametrize(
    ("source", "target", "groups"), PAIRS, ids=[f"{source.name}-{target.name}" for source, target, _ in PAIRS]
)


def named(source: Taxonomy, target: Taxonomy) -> dict[str, str | None]:
    """Source class -> target class, or None where it is ignored."""
    table = mapping_table(source, target)
    return {
        name: None if train_id == target.ignore_index else target.classes[train_id]
        for name, train_id in zip(source.classes, table, strict=False)
    }


@pairs
def test_every_id_becomes_a_class_or_is_ignored(source: Taxonomy, target: Taxonomy, groups: Groups) -> None:
    table = mapping_table(source, target)
    assert (len(table), table.dtype) == (source.ignore_index + 1, target.dtype)
    assert target.is_id[table].all()
    assert (table[len(source) :] == target.ignore_index).all()
    # If a table names a class twice, one of the two is lost.
    listed = [name for names in groups.values() for name in names]
    assert sorted(listed) == sorted(set(listed))
    assert {name for name, there in named(source, target).items() if there} == set(listed)


@pairs
def test_what_has_one_name_in_both_is_one_class(source: Taxonomy, target: Taxonomy, groups: Groups) -> None:
    shared = set(source.classes) & set(target.classes)
    assert len(shared) >= 5
    assert shared <= set(groups)
    there = named(source, target)
    assert {name: there[name] for name in shared} == {name: name for name in shared}


@pytest.mark.parametrize("taxonomy", [*TAXONOMIES.values(), WIDE], ids=lambda taxonomy: taxonomy.name)
def test_a_set_in_its_own_classes_stays_unchanged(taxonomy: Taxonomy) -> None:
    ids = np.array([*range(len(taxonomy)), taxonomy.ignore_index], taxonomy.dtype)
    assert translate(ids, taxonomy, taxonomy).tolist() == ids.tolist()


def test_bdd100k_is_in_the_classes_of_cityscapes_already() -> None:
    assert mapping_table(BDD100K, CITYSCAPES)[:20].tolist() == [*range(19), 255]


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=3), elements=st.integers(0, 150)))
def test_each_pixel_is_translated_by_itself(label_map: np.ndarray) -> None:
    label = np.where(label_map == 150, 255, label_map).astype(np.uint8)
    there = named(ADE20K, CITYSCAPES)
    expected = [
        255 if value == 255 or (name := there[ADE20K.classes[value]]) is None else CITYSCAPES.classes.index(name)
        for value in label.ravel()
    ]
    for given_label in (label, label.astype(np.uint16)):
        translated = translate(given_label, ADE20K, CITYSCAPES)
        assert (translated.shape, translated.dtype) == (label.shape, np.uint8)
        assert translated.ravel().tolist() == expected


def test_mappings_that_an_expert_expects() -> None:
    ade, coco, camvid, camvid32 = (named(source, CITYSCAPES) for source in (ADE20K, COCO_STUFF, CAMVID, CAMVID32))
    assert (ade["van"], ade["minibike"], ade["streetlight"], ade["grass"]) == ("car", "motorcycle", "pole", "terrain")
    assert (ade["floor"], ade["signboard"], ade["water"]) == (None, None, None)
    assert (coco["pavement"], coco["clouds"], coco["stop sign"]) == ("sidewalk", "sky", "traffic sign")
    assert (coco["wall-brick"], coco["bridge"]) == (None, None)
    assert (camvid["pavement"], camvid["bicyclist"], camvid["sign symbol"]) == ("sidewalk", None, None)
    assert (camvid32["child"], camvid32["sign symbol"], camvid32["truck bus"]) == ("person", "traffic sign", None)


def test_the_32_classes_of_camvid_are_among_the_11_but_for_those_that_segnet_leaves_unlabelled() -> None:
    there = named(CAMVID32, CAMVID)
    unlabelled = {"archway", "cart luggage pram", "child", "other moving"}
    assert {name for name, group in there.items() if group is None} == unlabelled
    assert set(there.values()) - {None} == set(CAMVID.classes)


def test_camvid_through_its_11_classes_gives_the_same() -> None:
    direct, through = (
        mapping_table(CAMVID32, CITYSCAPES),
        mapping_table(CAMVID, CITYSCAPES)[mapping_table(CAMVID32, CAMVID)],
    )
    both = (direct != 255) & (through != 255)
    differs = [CAMVID32.classes[number] for number in np.flatnonzero(both & (direct != through))]
    # Classes that the 11 merge; their pixels are few.
    assert differs == ["train", "wall"]


def test_an_id_that_the_source_does_not_have_is_named() -> None:
    with pytest.raises(UserError, match=r"ids \[11, 200\]: the camvid taxonomy has 0\.\.10"):
        translate(np.array([[0, 11, 200]], np.uint8), CAMVID, CITYSCAPES)


def test_an_unknown_mapping_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"camvid32 labels have no counterpart in ade20k: .* become camvid or citysc"):
        mapping_table(CAMVID32, ADE20K)
    said = r"cityscapes labels have no counterpart in camvid: they can stay as they are; camvid32 can become camvid$"
    with pytest.raises(UserError, match=said):
        mapping_table(CITYSCAPES, CAMVID)
    mine = taxonomy_of_classes("mine", ["ship", "quay"])
    with pytest.raises(UserError, match=r"; ade20k, camvid, camvid32, coco-stuff can become cityscapes$"):
        mapping_table(mine, CITYSCAPES)
    with pytest.raises(UserError, match=r"; no other set can become ade20k$"):
        mapping_table(mine, ADE20K)


def test_a_table_cannot_be_changed_by_its_caller() -> None:
    with pytest.raises(ValueError, match="read-only"):
        mapping_table(CAMVID, CITYSCAPES)[0] = 3


def test_real_camvid_labels_keep_nearly_all_of_their_pixels(camvid_root: object) -> None:
    dataset = open_dataset("camvid", str(camvid_root))
    kept = labelled = 0
    for record in dataset.records("val")[::10]:
        label = dataset.load(record).label
        assert label is not None
        translated = translate(label, CAMVID, CITYSCAPES)
        for name, there in (("road", "road"), ("pavement", "sidewalk"), ("pedestrian", "person")):
            np.testing.assert_array_equal(
                label == CAMVID.classes.index(name), translated == CITYSCAPES.classes.index(there)
            )
        kept += int((translated != 255).sum())
        labelled += int((label != 255).sum())
    assert 0.95 < kept / labelled < 1
