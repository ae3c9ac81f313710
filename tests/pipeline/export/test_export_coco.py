"""COCO's own tools read in an export what the store holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools.coco import COCO

from pipeline.datasets import open_dataset
from pipeline.export import export_store
from pipeline.export.segments import find_segments, to_colors
from pipeline.taxonomies import CAMVID, CITYSCAPES
from tests.pipeline.export.stores import read, sample, write_store


def segment_ids(colors: np.ndarray) -> np.ndarray:
    return colors.astype(np.int64) @ [1, 256, 65536]


@given(hnp.arrays(np.int32, (3, 4), elements=st.integers(0, 2**24 - 1)))
def test_segment_ids_survive_their_colours(ids: np.ndarray) -> None:
    np.testing.assert_array_equal(segment_ids(to_colors(ids)), ids)


LABELS = hnp.arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 2, 13, 18, 255]))
INSTANCES = hnp.arrays(np.uint16, (6, 7), elements=st.integers(0, 2) | st.just(65535))


@given(LABELS, st.none() | INSTANCES)
def test_segments_are_the_objects_and_the_rest_of_each_class(label: np.ndarray, instances: np.ndarray | None) -> None:
    ids, segments = find_segments(label, instances, CITYSCAPES, ("car", "bicycle"))
    np.testing.assert_array_equal(ids == 0, label == 255)
    assert [segment.id for segment in segments] == list(range(1, len(segments) + 1)) == np.unique(ids[ids > 0]).tolist()
    for segment in segments:
        mask = ids == segment.id
        expected = label == segment.train_id
        if instances is not None and segment.train_id in (13, 18):
            expected &= instances == segment.instance
        np.testing.assert_array_equal(mask, expected)
        rows, columns = np.nonzero(mask)
        left, top, width, height = segment.box
        assert (left, top) == (columns.min(), rows.min())
        assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)
        assert segment.area == mask.sum()


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    samples = [sample(f"val_{name}", "val", captions=[f"{name} one", f"{name} two"]) for name in "abc"]
    write_store(tmp_path / "store", [*samples, sample("train_a", "train")])
    export_store(str(tmp_path / "store"), str(tmp_path / "out"), "coco")
    return tmp_path


def test_panoptic_files_give_the_labels_back(exported: Path) -> None:
    stored, out = read(exported / "store"), exported / "out"
    content = json.loads((out / "annotations/panoptic_val.json").read_text())
    categories = {entry["id"]: entry for entry in content["categories"]}
    assert [entry["name"] for entry in categories.values()] == list(CITYSCAPES.classes)
    assert {entry["name"] for entry in categories.values() if entry["isthing"]} == set(CITYSCAPES.things)
    images = {entry["id"]: entry for entry in content["images"]}
    assert len(content["annotations"]) == 3
    for entry in content["annotations"]:
        image = images[entry["image_id"]]
        kept = stored[f"val_{Path(image['file_name']).stem}"]
        np.testing.assert_array_equal(np.asarray(Image.open(out / "val" / image["file_name"])), kept.image)
        assert (image["height"], image["width"]) == kept.image.shape[:2]  # type: ignore[union-attr]
        ids = segment_ids(np.asarray(Image.open(out / "annotations/panoptic_val" / entry["file_name"])))
        label = np.full(ids.shape, 255)
        for segment in entry["segments_info"]:
            label[ids == segment["id"]] = segment["category_id"] - 1
            assert segment["area"] == (ids == segment["id"]).sum()
        np.testing.assert_array_equal(label, kept.label)


def test_pycocotools_gives_the_masks_and_captions_back(exported: Path) -> None:
    stored = read(exported / "store")
    objects = COCO(str(exported / "out/annotations/instances_val.json"))
    for image_id, image in objects.imgs.items():
        kept = stored[f"val_{Path(image['file_name']).stem}"]
        assert kept.instances is not None and kept.label is not None
        found = np.zeros(kept.instances.shape, np.uint16)
        annotations = objects.loadAnns(objects.getAnnIds(imgIds=image_id))
        for number, annotation in enumerate(annotations, start=1):
            mask = objects.annToMask(annotation).astype(bool)
            assert not found[mask].any()
            [inside] = np.unique(kept.instances[mask])
            [train_id] = np.unique(kept.label[mask])
            assert annotation["category_id"] == train_id + 1
            assert annotation["area"] == mask.sum()
            np.testing.assert_array_equal(mask, (kept.instances == inside) & (kept.label == train_id))
            found[mask] = number
        np.testing.assert_array_equal(found > 0, kept.instances > 0)
    captions = COCO(str(exported / "out/annotations/captions_val.json"))
    assert [annotation["caption"] for annotation in captions.loadAnns(captions.getAnnIds(imgIds=[2]))] == [
        "b one",
        "b two",
    ]
    assert not (exported / "out/annotations/captions_train.json").exists()


def test_our_reader_finds_the_masks_of_pycocotools(exported: Path) -> None:
    objects = COCO(str(exported / "out/annotations/instances_val.json"))
    dataset = open_dataset("coco", exported / "out")
    assert dataset.taxonomy == CITYSCAPES
    for image_id, image in objects.imgs.items():
        [record] = [one for one in dataset.records("val") if one.image == f"val/{image['file_name']}"]
        frame = dataset.load(record)
        assert frame.instances is not None and frame.label is not None
        numbers = []
        for annotation in objects.loadAnns(objects.getAnnIds(imgIds=image_id)):
            mask = objects.annToMask(annotation).astype(bool)
            numbers += np.unique(frame.instances[mask]).tolist()
            np.testing.assert_array_equal(mask, frame.instances == numbers[-1])
            assert np.unique(frame.label[mask]).tolist() == [annotation["category_id"] - 1]
        assert sorted(numbers) == [number for number in np.unique(frame.instances) if number] != []


def test_things_without_separate_objects_are_a_crowd(tmp_path: Path) -> None:
    write_store(tmp_path / "store", [sample("val_a", "val", objects=0)])
    export_store(str(tmp_path / "store"), str(tmp_path / "out"), "coco")
    content = json.loads((tmp_path / "out/annotations/panoptic_val.json").read_text())
    things = {CITYSCAPES.classes.index(name) + 1 for name in CITYSCAPES.things}
    for segment in content["annotations"][0]["segments_info"]:
        assert segment["iscrowd"] == (segment["category_id"] in things)
    assert not (tmp_path / "out/annotations/instances_val.json").exists()


def test_boxes_are_objects_and_their_categories_follow_the_classes(tmp_path: Path) -> None:
    boxes = [
        {"category": "car", "left": 1.5, "top": 2.0, "width": 10.0, "height": 4.0},
        {"category": "scooter", "left": 0.0, "top": 0.0, "width": 2.0, "height": 3.0},
    ]
    write_store(tmp_path / "store", [sample("val_a", "val", objects=0, boxes=boxes)])
    export_store(str(tmp_path / "store"), str(tmp_path / "out"), "coco")
    objects = COCO(str(tmp_path / "out/annotations/instances_val.json"))
    found = [
        (objects.cats[entry["category_id"]]["name"], entry["bbox"], entry["area"]) for entry in objects.anns.values()
    ]
    assert found == [("car", [1.5, 2.0, 10.0, 4.0], 40.0), ("scooter", [0.0, 0.0, 2.0, 3.0], 6.0)]
    assert objects.anns[1]["category_id"] == CITYSCAPES.classes.index("car") + 1
    assert objects.anns[2]["category_id"] == len(CITYSCAPES) + 1


def test_a_set_that_names_no_things_has_objects_of_every_class(tmp_path: Path) -> None:
    made = sample("val_a", "val", CAMVID)
    write_store(tmp_path / "store", [made], taxonomy="camvid")
    export_store(str(tmp_path / "store"), str(tmp_path / "out"), "coco")
    assert made.instances is not None
    objects = COCO(str(tmp_path / "out/annotations/instances_val.json"))
    masks = np.stack([objects.annToMask(entry) for entry in objects.anns.values()])
    numbers = [number for number in np.unique(made.instances) if number]
    np.testing.assert_array_equal(masks, np.stack([made.instances == number for number in numbers]))


def test_camvid_comes_back_pixel_by_pixel(tmp_path: Path, camvid_root: Path) -> None:
    from pipeline.stages.dataset_source import sample_of

    dataset = open_dataset("camvid", camvid_root)
    samples = [sample_of(r.key, dataset.load(r), {"split": "val"}) for r in dataset.records("val")[::40]]
    write_store(tmp_path / "s", samples, taxonomy="camvid")
    export_store(str(tmp_path / "s"), str(tmp_path / "out"), "coco")
    content = json.loads((tmp_path / "out/annotations/panoptic_val.json").read_text())
    for entry, made in zip(content["annotations"], samples, strict=True):
        ids = segment_ids(np.asarray(Image.open(tmp_path / "out/annotations/panoptic_val" / entry["file_name"])))
        table = np.full(len(entry["segments_info"]) + 1, 255)
        for segment in entry["segments_info"]:
            table[segment["id"]] = segment["category_id"] - 1
        np.testing.assert_array_equal(table[ids], made.label)
