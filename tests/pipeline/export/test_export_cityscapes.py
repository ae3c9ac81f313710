"""What our reader finds in an export to the Cityscapes format is what the store holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from augment.errors import UserError
from pipeline.datasets import open_dataset
from pipeline.export import export_store
from pipeline.export.cityscapes import instance_ids
from pipeline.store import Sample
from pipeline.store.codec import ImageFormat
from pipeline.taxonomies import ADE20K, CAMVID
from pipeline.taxonomies.cityscapes import LABELS
from tests.pipeline.export.stores import read, sample, write_store


@pytest.mark.parametrize("image_format", ["png", "webp", "jpg"])
def test_real_frames_come_back_with_key_image_label_and_attributes(tmp_path: Path, image_format: ImageFormat) -> None:
    keys = [f"{split}_bad-honnef_000000_{n:06d}" for split in ("train", "val") for n in (19, 20)]
    write_store(tmp_path / "s", [sample(key, key.split("_")[0]) for key in keys], image_format=image_format)
    export_store(str(tmp_path / "s"), str(tmp_path / "out"), "cityscapes")
    stored, dataset = read(tmp_path / "s"), open_dataset("cityscapes", tmp_path / "out")
    records = [record for split in ("train", "val") for record in dataset.records(split)]
    assert [record.key for record in records] == keys
    for record in records:
        frame = dataset.load(record)
        np.testing.assert_array_equal(frame.image, stored[record.key].image)
        np.testing.assert_array_equal(frame.label, stored[record.key].label)
        pairs = np.stack([stored[record.key].instances, frame.instances], axis=-1)  # type: ignore[list-item]
        together = np.unique(pairs.reshape(-1, 2), axis=0)
        assert len(together) == len(np.unique(together[:, 0])) == len(np.unique(together[:, 1])) > 1
        assert together[0].tolist() == [0, 0]
        assert {"medium": "photo", "weather": "rain"}.items() <= record.attributes.items()


def test_other_keys_become_numbered_frames_and_the_table_maps_them_back(tmp_path: Path) -> None:
    keys = [f"train_{city}_000000_000019_k05_v01" for city in ("ulm", "aachen", "jena")]
    facts = {"source_dataset": "city scapes 2", "prompt": "a street"}
    write_store(tmp_path / "s", [sample(key, "train", **facts) for key in keys], kind="synthetic")
    export_store(str(tmp_path / "s"), str(tmp_path / "out"), "cityscapes")
    dataset = open_dataset("cityscapes", tmp_path / "out")
    records = dataset.records("train")
    assert [record.key for record in records] == [f"train_made_000000_{number:06d}" for number in (1, 2, 3)]
    assert "prompt" not in records[0].attributes
    stored = read(tmp_path / "s")
    for record, key in zip(records, sorted(keys), strict=True):
        np.testing.assert_array_equal(dataset.load(record).label, stored[key].label)
        np.testing.assert_array_equal(dataset.load(record).image, stored[key].image)


def test_every_label_file_says_the_same(tmp_path: Path) -> None:
    made = sample("train_ulm_000000_000001", "train")
    assert made.label is not None and made.instances is not None
    write_store(tmp_path / "s", [made])
    export_store(str(tmp_path / "s"), str(tmp_path / "out"), "cityscapes")
    stem = tmp_path / "out/gtFine/train/ulm/ulm_000000_000001_gtFine_"
    files = {
        name: np.asarray(Image.open(f"{stem}{name}.png"))
        for name in ("labelTrainIds", "labelIds", "instanceIds", "color")
    }
    assert [files[name].dtype.name for name in ("labelIds", "instanceIds")] == ["uint8", "uint16"]
    ids = np.where(files["instanceIds"] >= 1000, files["instanceIds"] // 1000, files["instanceIds"])
    np.testing.assert_array_equal(ids, files["labelIds"])
    np.testing.assert_array_equal(files["labelTrainIds"], made.label)
    colors = np.array([label.color if label.evaluated else (0, 0, 0) for label in LABELS])
    np.testing.assert_array_equal(files["color"][..., :3], colors[files["labelIds"]])
    assert (files["color"][..., 3] == 255).all()


LABEL_MAPS = hnp.arrays(np.uint8, (5, 6), elements=st.sampled_from([0, 7, 24, 26, 33]))


@given(LABEL_MAPS, hnp.arrays(np.uint16, (5, 6), elements=st.integers(0, 3) | st.just(60000)))
def test_two_pixels_share_an_instance_id_where_they_share_class_and_object(
    label_ids: np.ndarray, instances: np.ndarray
) -> None:
    values = instance_ids(label_ids, instances)
    countable = np.isin(label_ids, [24, 26, 33]) & (instances > 0)
    np.testing.assert_array_equal(values[~countable], label_ids[~countable])
    np.testing.assert_array_equal(values[countable] // 1000, label_ids[countable])
    pairs = set(zip(label_ids[countable].tolist(), instances[countable].tolist(), strict=True))
    together = set(zip(label_ids[countable], instances[countable], values[countable], strict=True))
    assert len(np.unique(values[countable])) == len(together) == len(pairs)
    for label_id in (24, 26, 33):
        numbers = np.unique(values[countable & (label_ids == label_id)]) - label_id * 1000
        assert numbers.tolist() == list(range(len(numbers)))


def test_more_objects_than_there_are_numbers_are_refused() -> None:
    instances = np.arange(1, 1002, dtype=np.uint16)[None]
    with pytest.raises(UserError, match="1001 objects of one class"):
        instance_ids(np.full(instances.shape, 26, np.uint8), instances)


def test_camvid_comes_back_pixel_by_pixel(tmp_path: Path, camvid_root: Path) -> None:
    from pipeline.stages.dataset_source import sample_of

    dataset = open_dataset("camvid", camvid_root)
    records = dataset.records("val")[::40]
    samples = [sample_of(r.key, dataset.load(r), {"split": "val", "dataset": "camvid"}) for r in records]
    write_store(tmp_path / "s", samples, taxonomy="camvid")
    export_store(str(tmp_path / "s"), str(tmp_path / "out"), "cityscapes")
    exported = open_dataset("cityscapes", tmp_path / "out")
    assert not list(tmp_path.glob("out/gtFine/**/*labelIds.png"))
    assert exported.taxonomy == CAMVID
    for record, made in zip(exported.records("val"), samples, strict=True):
        np.testing.assert_array_equal(exported.load(record).image, made.image)
        np.testing.assert_array_equal(exported.load(record).label, made.label)


def test_other_classes_than_those_of_cityscapes_come_back_with_their_names(tmp_path: Path) -> None:
    label = np.random.default_rng(0).choice([*range(150), 255], (16, 24)).astype(np.uint8)
    image = np.zeros((16, 24, 3), np.uint8)
    sample = Sample("train_a", image, label, metadata={"split": "train", "dataset": "ade20k"})
    write_store(tmp_path / "s", [sample], taxonomy="ade20k")
    export_store(str(tmp_path / "s"), str(tmp_path / "out"), "cityscapes")
    exported = open_dataset("cityscapes", tmp_path / "out")
    assert exported.taxonomy == ADE20K
    [record] = exported.records("train")
    np.testing.assert_array_equal(exported.load(record).label, label)
