"""Small sets as people have them, where they are beside the repository (or in $LUMEN_CASES): found and paired right."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from pipeline.cli import guarded
from pipeline.datasets import Intake, open_dataset
from tests.conftest import REPOSITORY

CASES = Path(os.environ.get("LUMEN_CASES") or REPOSITORY.parent / "shared" / "cases")


def case(name: str) -> Path:
    if not (CASES / name).is_dir():
        pytest.skip(f"no {name} in {CASES}; set LUMEN_CASES to the folder that holds it")
    return CASES / name


def test_polygons_alone_are_labels() -> None:
    root = case("coco_polygons_only")
    dataset, objects = open_dataset("coco", root), COCO(root / "annotations/instances_train.json")
    assert dataset.taxonomy is not None
    for record in dataset.records("train"):
        number = int(Path(record.image).stem)
        mask = np.zeros((96, 160), bool)
        for found in objects.loadAnns(objects.getAnnIds(imgIds=[number])):
            mask |= objects.annToMask(found).astype(bool)
        np.testing.assert_array_equal(dataset.load(record).label, np.where(mask, 0, 255))


def test_a_byte_order_mark_is_read_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["inspect", "coco", str(case("coco_bom"))]) == 0
    assert "labelled: 9" in capsys.readouterr().out


def test_captions_with_the_images_of_a_split_are_read() -> None:
    records = open_dataset("folder", case("hf_metadata_in_split")).records("train")
    assert sum(bool(record.captions) for record in records) >= 5


def test_incomplete_pairs_are_counted_and_left_out() -> None:
    dataset = open_dataset("bdd100k", case("bdd100k_incomplete_pairs"))
    listing = Intake(only_labelled=True).listing(dataset, dataset.splits())
    assert {split: len(records) for split, records in listing.records.items()} == {"train": 4, "val": 3}
    assert [(len(one.images), len(one.labels)) for one in listing.left_out] == [(1, 1)]
