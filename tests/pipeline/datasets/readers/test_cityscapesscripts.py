"""Our reading of Cityscapes against the official tools: their table of labels, and images they draw of polygons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.evaluation.instances2dict import instances2dict
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.helpers.labels import labels as official_labels
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
from cityscapesscripts.preparation.json2labelImg import json2labelImg
from PIL import Image

from pipeline.datasets import Frame, open_dataset
from pipeline.taxonomies import CITYSCAPES
from pipeline.taxonomies.cityscapes import LABELS
from tests.pipeline.datasets.trees import random_image, save, write_cityscapes_image

HEIGHT, WIDTH = 48, 96
IDENTITY = "ulm_000000_000019"


def rectangle(label: str, left: int, top: int, right: int, bottom: int) -> dict[str, object]:
    return {"label": label, "polygon": [[left, top], [right, top], [right, bottom], [left, bottom]]}


# Later objects hide earlier ones, as in the set itself.
OBJECTS = [
    rectangle("road", 0, 24, 95, 47),
    rectangle("sky", 0, 0, 95, 23),
    rectangle("car", 4, 20, 20, 34),
    rectangle("car", 16, 22, 32, 36),
    rectangle("license plate", 8, 30, 12, 32),
    rectangle("cargroup", 40, 20, 60, 30),
    rectangle("person", 64, 12, 70, 34),
    rectangle("persongroup", 72, 12, 80, 34),
    rectangle("caravan", 82, 10, 94, 34),
    rectangle("bicycle", 50, 28, 58, 40),
    rectangle("ego vehicle", 0, 44, 95, 47),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the official tools have drawn the label images of one frame in all their encodings."""
    blank = np.zeros((HEIGHT, WIDTH), np.uint8)
    write_cityscapes_image(tmp_path, "train", IDENTITY, random_image(np.random.default_rng(0), HEIGHT, WIDTH), blank)
    folder = tmp_path / "gtFine" / "train" / "ulm"
    polygons = folder / f"{IDENTITY}_gtFine_polygons.json"
    polygons.write_text(json.dumps({"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": OBJECTS}))
    for suffix, encoding in (("labelIds", "ids"), ("labelTrainIds", "trainIds")):
        json2labelImg(str(polygons), str(folder / f"{IDENTITY}_gtFine_{suffix}.png"), encoding)
    annotation = Annotation()
    annotation.fromJsonFile(str(polygons))
    # Pillow no longer writes what the tool draws on, 32-bit integers, as the 16-bit PNG that the set has.
    instance_ids = np.asarray(createInstanceImage(annotation, "ids")).astype(np.uint16)
    save(folder / f"{IDENTITY}_gtFine_instanceIds.png", instance_ids)
    return folder


def frame_of(root: Path) -> Frame:
    dataset = open_dataset("cityscapes", root)
    return dataset.load(dataset.records("train")[0])


def test_the_labels_are_those_of_the_official_table() -> None:
    drawn = [label for label in official_labels if label.id >= 0]
    assert [label.id for label in drawn] == list(range(len(LABELS)))
    for ours, theirs in zip(LABELS, drawn, strict=True):
        assert (ours.name, ours.category, ours.color) == (theirs.name, theirs.category, theirs.color)
        assert (ours.evaluated, ours.has_instances) == (not theirs.ignoreInEval, theirs.hasInstances)
        if ours.evaluated:
            assert CITYSCAPES.classes[theirs.trainId] == ours.name


def test_label_ids_become_the_train_ids_that_the_official_tool_draws(tmp_path: Path, folder: Path) -> None:
    official = np.asarray(Image.open(folder / f"{IDENTITY}_gtFine_labelTrainIds.png"))
    np.testing.assert_array_equal(frame_of(tmp_path).label, official)
    (folder / f"{IDENTITY}_gtFine_labelIds.png").unlink()
    np.testing.assert_array_equal(frame_of(tmp_path).label, official)


def test_objects_are_those_that_the_official_tool_lists(tmp_path: Path, folder: Path) -> None:
    frame = frame_of(tmp_path)
    path = str(folder / f"{IDENTITY}_gtFine_instanceIds.png")
    [listed] = instances2dict([path], verbose=False).values()
    values = np.asarray(Image.open(path))
    expected = {
        (train_id, entry["pixelCount"])
        for train_id, name in enumerate(CITYSCAPES.classes)
        for entry in listed.get(name, [])
        if entry["instID"] >= 1000
    }
    assert len(expected) == 4
    assert frame.instances is not None and frame.label is not None
    found = set()
    for number in range(1, frame.instances.max() + 1):
        inside = frame.instances == number
        [value] = np.unique(values[inside])
        np.testing.assert_array_equal(values == value, inside)
        [train_id] = np.unique(frame.label[inside])
        found.add((int(train_id), int(inside.sum())))
    assert found == expected
