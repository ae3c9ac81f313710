"""A folder export holds the store's own bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.datasets import open_dataset
from pipeline.export import export_store
from pipeline.stages.dataset_source import sample_of
from pipeline.store import Sample
from pipeline.store.codec import ImageFormat
from pipeline.taxonomies import CAMVID
from tests.pipeline.export.stores import read, sample, write_store


@pytest.mark.parametrize("image_format", ["png", "jpg", "webp"])
def test_images_and_masks_are_the_members_of_the_store(tmp_path: Path, image_format: ImageFormat) -> None:
    made = [sample("train_a", "train", CAMVID), sample("val_a", "val", CAMVID, objects=0)]
    store = write_store(tmp_path / "store", made, taxonomy="camvid", image_format=image_format)
    export_store(store.url, str(tmp_path / "out"), "folder")
    tar = (tmp_path / "store/shards/all-000000.tar").read_bytes()
    for key, kept in read(tmp_path / "store").items():
        place = key.replace("_", "/")
        image, mask = (tmp_path / "out" / path for path in (f"images/{place}.{image_format}", f"masks/{place}.png"))
        assert image.read_bytes() in tar
        assert mask.read_bytes() in tar
        np.testing.assert_array_equal(np.asarray(Image.open(image)), kept.image)
        np.testing.assert_array_equal(np.asarray(Image.open(mask)), kept.label)
    assert len(list((tmp_path / "out").rglob("*.*"))) == 2 * 2 + 3
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/instances/train/a.png")), made[0].instances)


@pytest.mark.parametrize("image_format", ["png", "jpg", "webp"])
def test_our_reader_gives_the_samples_and_classes_back(tmp_path: Path, image_format: ImageFormat) -> None:
    made = [sample(f"{split}_{n}", split, CAMVID) for split in ("train", "val") for n in (1, 2)]
    write_store(tmp_path / "store", made, taxonomy="camvid", image_format=image_format)
    export_store(str(tmp_path / "store"), str(tmp_path / "out"), "folder")
    assert_same(tmp_path / "out", read(tmp_path / "store"))


def test_camvid_comes_back_pixel_by_pixel(tmp_path: Path, camvid_root: Path) -> None:
    dataset = open_dataset("camvid", camvid_root)
    samples = [sample_of(r.key, dataset.load(r), {"split": "val"}) for r in dataset.records("val")[::40]]
    write_store(tmp_path / "store", samples, taxonomy="camvid")
    export_store(str(tmp_path / "store"), str(tmp_path / "out"), "folder")
    assert_same(tmp_path / "out", {made.key: made for made in samples})


def assert_same(folder: Path, stored: dict[str, Sample]) -> None:
    """Every sample is what the reader of folders finds, with its key."""
    dataset = open_dataset("folder", folder)
    assert dataset.taxonomy == CAMVID
    records = [record for split in dataset.splits() for record in dataset.records(split)]
    assert [record.key for record in records] == sorted(stored)
    for record in records:
        frame, kept = dataset.load(record), stored[record.key]
        np.testing.assert_array_equal(frame.image, kept.image)
        np.testing.assert_array_equal(frame.label, kept.label)
        assert (frame.instances is None) == (kept.instances is None)
        if kept.instances is not None:
            np.testing.assert_array_equal(frame.instances, kept.instances)


def test_names_keep_the_whole_key_where_one_lacks_its_split(tmp_path: Path) -> None:
    write_store(tmp_path / "store", [sample("train_a", "train"), sample("a", "train")])
    export_store(str(tmp_path / "store"), str(tmp_path / "out"), "folder")
    assert {path.name for path in tmp_path.glob("out/images/train/*")} == {"train_a.png", "a.png"}
