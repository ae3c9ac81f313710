"""The reader of the full ADE20K release of 2021, pixel by pixel."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from pipeline.datasets import RecordError, open_dataset
from pipeline.datasets.readers.ade20k_full import NUM_CLASSES
from pipeline.engine import ErrorBudget, Resources, make_executor, run_store_stage
from pipeline.stages import dataset_source, shard
from pipeline.store import Manifest, SampleReader, Store, taxonomy_of, verify_store
from pipeline.taxonomies import taxonomy_entry
from tests.pipeline.datasets.geometries import geometry_of
from tests.pipeline.datasets.trees import random_image
from tests.pipeline.datasets.trees_sets import ade20k_object, seg_png, write_ade20k_full_image

SHAPE = (6, 10)
STREET = "training/urban/street"


@pytest.fixture
def image() -> np.ndarray:
    return random_image(np.random.default_rng(0), *SHAPE)


@pytest.fixture
def indices() -> np.ndarray:
    """A class a row: none, the first, the last that green alone holds, the first with red, two more, the last."""
    return np.repeat(np.array([0, 1, 255, 256, 2836, 3688])[:, None], SHAPE[1], axis=1)


@pytest.fixture
def objects() -> np.ndarray:
    """Object numbers with gaps, 0 where there is no object."""
    return np.repeat(np.array([0, 7, 7, 200, 3])[None], SHAPE[0], axis=0).repeat(2, axis=1)


def test_red_and_green_are_the_class_in_sixteen_bits(
    tmp_path: Path, image: np.ndarray, indices: np.ndarray, objects: np.ndarray
) -> None:
    seg = seg_png(indices, objects)
    assert seg[4, 0, :2].tolist() == [110, 20]
    stored = write_ade20k_full_image(tmp_path, STREET, "ADE_train_00000001", image, seg)
    dataset = open_dataset("ade20k-full", tmp_path)
    [record] = dataset.records("train")
    frame = dataset.load(record)
    np.testing.assert_array_equal(frame.image, stored)
    assert frame.label is not None
    assert frame.label.dtype == np.uint16
    np.testing.assert_array_equal(frame.label[:, 0], [65535, 0, 254, 255, 2835, 3687])
    assert (frame.label == frame.label[:, :1]).all()


def test_blue_tells_objects_apart_and_is_numbered_from_one(
    tmp_path: Path, image: np.ndarray, indices: np.ndarray, objects: np.ndarray
) -> None:
    indices[:] = 401
    indices[0], indices[5] = 0, 2836
    write_ade20k_full_image(tmp_path, STREET, "a", image, seg_png(indices, objects))
    dataset = open_dataset("ade20k-full", tmp_path)
    instances = dataset.load(dataset.records("train")[0]).instances
    assert instances is not None
    assert instances.dtype == np.uint16
    # By blue: 3, 7 and 200; the last row is another class, and so other objects of the same numbers.
    assert (instances[0] == 0).all()
    np.testing.assert_array_equal(instances[1:5, ::2], [[0, 3, 3, 5, 1]] * 4)
    np.testing.assert_array_equal(instances[5, ::2], [0, 4, 4, 6, 2])


def test_classes_are_named_by_the_json_files_whatever_their_encoding(
    tmp_path: Path, image: np.ndarray, indices: np.ndarray, objects: np.ndarray
) -> None:
    seg = seg_png(indices, objects)
    several = [
        ade20k_object("wall", 1),
        ade20k_object("wal", 2),
        ade20k_object("café table", 255, 1),
        ade20k_object("bat", 10, 2),
        ade20k_object("bat", 20, 3),
        {**ade20k_object("", 30, 4), "name": []},
    ]
    write_ade20k_full_image(tmp_path, STREET, "a", image, seg, several, encoding="latin-1")
    write_ade20k_full_image(tmp_path, STREET, "b", image, seg, ade20k_object("crêperie", 256))
    write_ade20k_full_image(tmp_path, "validation/urban/street", "c", image, seg, [ade20k_object("wall  ", 2)] * 2)
    taxonomy = open_dataset("ade20k-full", tmp_path).taxonomy
    assert taxonomy is not None
    assert (len(taxonomy), taxonomy.ignore_index, taxonomy.dtype) == (3688, 65535, np.uint16)
    named = {index: taxonomy.classes[index - 1] for index in (1, 2, 10, 20, 30, 255, 256, 3688)}
    assert named == {
        1: "wall",
        2: "wall (2)",
        10: "bat",
        20: "bat (20)",
        30: "class 30",
        255: "café table",
        256: "crêperie",
        3688: "class 3688",
    }


def test_a_store_holds_sixteen_bit_labels_and_their_names(tmp_path: Path) -> None:
    root, big = tmp_path / "ade", (32, 40)
    photo = np.zeros((*big, 3), np.uint8)
    indices = np.full(big, 2836)
    named = [ade20k_object("traffic light, traffic signal, stoplight", 2836)]
    write_ade20k_full_image(root, STREET, "a", photo, seg_png(indices, np.ones(big)), named)
    dataset = open_dataset("ade20k-full", root)
    assert dataset.taxonomy is not None
    manifest = Manifest("real", taxonomy_entry(dataset.taxonomy), {"height": 32, "width": 40}, {})
    store = Store.create(str(tmp_path / "store"), manifest)
    units = dataset_source.plan_units({"train": dataset.records("train")}, 2)
    # Workers have no need of the names: they would read thousands of files each.
    (root / "images/ADE" / STREET / "a.json").write_text("damaged")
    source = dataset_source.DatasetSource("ade20k-full", str(root), geometry=geometry_of(32, 40))
    stage = shard.Shard(Resources(), 1)
    run_store_stage(stage, source, store, units, make_executor("serial"), ErrorBudget(), lambda _: None)
    assert verify_store(store.url) == []
    sample = SampleReader(store).read("train_a")
    assert sample.label is not None
    assert sample.label.dtype == np.uint16
    assert (sample.label == 2835).all()
    assert sample.instances is not None
    assert (sample.instances == 1).all()
    taxonomy = taxonomy_of(store.manifest)
    assert taxonomy is not None
    assert taxonomy.classes[2835] == "traffic light, traffic signal, stoplight"
    assert sample.metadata["scene"] == "street"


def test_scenes_are_those_of_the_folders_and_other_images_are_not_seen(
    tmp_path: Path, image: np.ndarray, indices: np.ndarray, objects: np.ndarray
) -> None:
    root, seg = tmp_path / "ADE20K_2021_17_01", seg_png(indices, objects)
    write_ade20k_full_image(root, "training/transportation/airport_terminal", "ADE_train_00000002", image, seg)
    write_ade20k_full_image(root, "training/cultural/apse__indoor", "ADE_train_00000001", image, seg)
    write_ade20k_full_image(root, "training/unclassified/misc", "ADE_train_00000003", image, seg)
    (root / "index_ade20k.pkl").write_bytes(pickle.dumps("not to be opened"))
    dataset = open_dataset("ade20k-full", tmp_path)
    assert dataset.splits() == ["train"]
    records = dataset.records("train")
    assert [record.key for record in records] == [f"train_ADE_train_0000000{number}" for number in (1, 2, 3)]
    assert [record.attributes.get("scene") for record in records] == ["apse indoor", "airport terminal", None]
    assert records[0].label == "images/ADE/training/cultural/apse__indoor/ADE_train_00000001_seg.png"
    again = pickle.loads(pickle.dumps(dataset))
    assert again.records("train") == records


def test_a_class_beyond_the_release_is_reported_with_its_file(
    tmp_path: Path, image: np.ndarray, objects: np.ndarray
) -> None:
    too_large = np.full(SHAPE, NUM_CLASSES + 1)
    write_ade20k_full_image(tmp_path, STREET, "a", image, seg_png(too_large, objects))
    dataset = open_dataset("ade20k-full", tmp_path)
    with pytest.raises(RecordError, match=r"^unknown label id: .*street/a_seg\.png has ids \[3689\] \(60 pixels\)"):
        dataset.load(dataset.records("train")[0])


def test_a_label_in_another_form_is_reported(tmp_path: Path, image: np.ndarray) -> None:
    write_ade20k_full_image(tmp_path, STREET, "a", image, np.zeros(SHAPE, np.uint8))
    dataset = open_dataset("ade20k-full", tmp_path)
    with pytest.raises(RecordError, match=r"^wrong label mode: .*a_seg\.png has mode L: expected 8-bit colours"):
        dataset.load(dataset.records("train")[0])


def test_what_is_missing_is_counted(
    tmp_path: Path, image: np.ndarray, indices: np.ndarray, objects: np.ndarray
) -> None:
    with pytest.raises(
        UserError, match=r"is not a full ADE20K folder: expected images/ADE/training/.*found an empty folder"
    ):
        open_dataset("ade20k-full", tmp_path)
    write_ade20k_full_image(tmp_path, STREET, "a", image, seg_png(indices, objects), None)
    write_ade20k_full_image(tmp_path, STREET, "b", image, None, None)
    dataset = open_dataset("ade20k-full", tmp_path)
    with pytest.raises(UserError, match=r"1 of its images have no label: .*found 2 images and 1 labels.*b\.jpg;"):
        dataset.records("train")
    with pytest.raises(UserError, match=r"expected <name>\.json beside each <name>\.jpg in images/ADE, found 0"):
        _ = dataset.taxonomy
    (tmp_path / "images/ADE/training/urban/street/a.json").write_text('{"annotation": {"object": ')
    with pytest.raises(UserError, match=r"^damaged JSON: .*street/a\.json \(repair or remove it\): "):
        _ = dataset.taxonomy
