"""Classes and colours are those of other libraries, and ids of label maps are checked against their taxonomy."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from downstream.mmseg_import import import_mmseg
from pipeline.taxonomies import (
    ADE20K,
    BDD100K,
    CAMVID,
    CAMVID32,
    CITYSCAPES,
    COCO_STUFF,
    TAXONOMIES,
    Taxonomy,
    colorize,
    train_id_table,
)
from pipeline.taxonomies import ade20k as ade20k_ids
from pipeline.taxonomies import coco_stuff as coco_stuff_ids
from pipeline.taxonomies.camvid import VOID_COLOR
from pipeline.taxonomies.cityscapes import LABEL_IDS, LABELS
from pipeline.taxonomies.rows import taxonomy_from_rows


@pytest.mark.parametrize(
    ("taxonomy", "theirs"),
    [
        (CITYSCAPES, "CityscapesDataset"),
        (BDD100K, "BDD100KDataset"),
        (ADE20K, "ADE20KDataset"),
        (COCO_STUFF, "COCOStuffDataset"),
    ],
)
def test_classes_colours_and_ignore_index_are_those_that_mmsegmentation_trains_on(
    taxonomy: Taxonomy, theirs: str
) -> None:
    import_mmseg()
    from mmseg.datasets import BaseSegDataset
    from mmseg.registry import DATASETS

    metainfo = DATASETS.get(theirs).METAINFO
    # One of theirs ends in a space.
    assert tuple(name.strip() for name in metainfo["classes"]) == taxonomy.classes
    assert tuple(tuple(color) for color in metainfo["palette"]) == taxonomy.palette
    assert BaseSegDataset(metainfo=metainfo, lazy_init=True).ignore_index == taxonomy.ignore_index == 255


def test_cityscapes_labels_are_those_of_the_official_scripts() -> None:
    official = pytest.importorskip("cityscapesscripts.helpers.labels")
    theirs = {label.id: label for label in official.labels if label.id >= 0}
    assert [theirs[number].name for number in range(len(theirs))] == [label.name for label in LABELS]
    for number, label in enumerate(LABELS):
        assert (label.category, label.color) == (theirs[number].category, theirs[number].color)
        assert label.has_instances == theirs[number].hasInstances
        assert theirs[number].trainId == (LABEL_IDS.index(number) if label.evaluated else 255)


def test_cityscapes_label_ids_lead_to_the_classes_of_the_same_names() -> None:
    table = train_id_table(LABEL_IDS, CITYSCAPES)
    assert len(LABELS) == 34
    for number, label in enumerate(LABELS):
        expected = CITYSCAPES.classes.index(label.name) if label.evaluated else 255
        assert table[number] == expected
    assert set(CITYSCAPES.things) == {
        label.name for label in LABELS if label.has_instances and label.name not in ("caravan", "trailer")
    }


def test_coco_stuff_ids_lead_to_the_train_ids_of_mmsegmentations_converter() -> None:
    mmseg = Path(str(import_mmseg().__file__)).parent
    spec = importlib.util.spec_from_file_location(
        "coco_stuff164k", mmseg / ".mim" / "tools" / "dataset_converters" / "coco_stuff164k.py"
    )
    assert spec is not None and spec.loader is not None
    converter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(converter)

    table = train_id_table(coco_stuff_ids.RAW_IDS, COCO_STUFF)
    theirs = {raw: train_id for raw, train_id in converter.clsID_to_trID.items() if raw != 255}
    assert {raw: int(table[raw]) for raw in range(255) if table[raw] != 255} == theirs
    assert table[255] == 255
    assert coco_stuff_ids.CATEGORY_IDS[:12] == (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13)


def test_ade20k_counts_from_one_and_has_nothing_at_zero() -> None:
    table = train_id_table(ade20k_ids.RAW_IDS, ADE20K)
    assert table[:2].tolist() == [255, 0]
    assert table[150:153].tolist() == [149, 255, 255]


def test_sizes() -> None:
    sizes = {name: (len(taxonomy), len(taxonomy.things)) for name, taxonomy in TAXONOMIES.items()}
    assert sizes == {
        "cityscapes": (19, 8),
        "ade20k": (150, 100),
        "coco-stuff": (171, 80),
        "camvid": (11, 0),
        "camvid32": (31, 0),
    }
    assert COCO_STUFF.things == COCO_STUFF.classes[:80]


@pytest.mark.parametrize("taxonomy", TAXONOMIES.values(), ids=lambda taxonomy: taxonomy.name)
def test_each_is_registered_under_its_name(taxonomy: Taxonomy) -> None:
    assert TAXONOMIES[taxonomy.name] is taxonomy
    assert taxonomy.ignore_index == 255
    assert taxonomy.dtype == np.uint8


def test_colours_that_labels_are_read_by_are_unambiguous() -> None:
    assert len({*CAMVID32.palette, VOID_COLOR}) == 32
    # Its owners took four levels of each channel.
    assert {value for color in CAMVID32.palette for value in color} == {0, 64, 128, 192}
    assert len(set(CITYSCAPES.palette)) == 19


def test_camvid_keeps_the_colours_of_the_original() -> None:
    names = {"pole": "column pole", "pavement": "sidewalk"}
    for name, color in zip(CAMVID.classes, CAMVID.palette, strict=True):
        assert CAMVID32.palette[CAMVID32.classes.index(names.get(name, name))] == color


def test_colorize_paints_each_pixel_in_the_colour_of_its_class() -> None:
    label = np.array([[0, 3, 255], [10, 4, 0]], np.uint8)
    expected = [
        [(128, 128, 128), (128, 64, 128), (0, 0, 0)],
        [(0, 128, 192), (0, 0, 192), (128, 128, 128)],
    ]
    painted = colorize(label, CAMVID)
    assert painted.dtype == np.uint8
    assert painted.tolist() == np.array(expected).tolist()
    assert colorize(label.astype(np.uint16), CAMVID).tolist() == painted.tolist()


@pytest.mark.parametrize("wrong", [11, 254, 300])
def test_colorize_names_an_id_that_is_no_class(wrong: int) -> None:
    with pytest.raises(UserError, match=rf"ids \[{wrong}\].*camvid"):
        colorize(np.array([[0, wrong]], np.uint16), CAMVID)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"palette": ((0, 0, 0),)}, "2 classes but 1"),
        ({"ignore_index": 0}, "ignore index 0 is the id of a class"),
        ({"ignore_index": 254}, "ignore index 254, expected 255 or 65535"),
        ({"classes": ("a", "a")}, "two classes are called 'a'"),
        ({"things": ("c",)}, "'c' is among the things but no class"),
        ({"palette": ((0, 0, 0), (0, 0, 256))}, r"colour \(0, 0, 256\)"),
    ],
)
def test_a_taxonomy_that_contradicts_itself_is_refused(changed: dict, said: str) -> None:
    fields = {"name": "broken", "classes": ("a", "b"), "palette": ((0, 0, 0), (1, 1, 1)), **changed}
    with pytest.raises(ValueError, match=f"broken: .*{said}|broken: {said}"):
        Taxonomy(**fields)


def test_a_row_is_a_colour_a_kind_and_a_name() -> None:
    rows = taxonomy_from_rows("two", "1 2 3 thing traffic light\n4 5 6 stuff sky\n")
    assert rows == Taxonomy("two", ("traffic light", "sky"), ((1, 2, 3), (4, 5, 6)), things=("traffic light",))
    with pytest.raises(ValueError, match=r"two: '1 2 3 sky blue' says 'sky', expected thing or stuff"):
        taxonomy_from_rows("two", "1 2 3 sky blue")
