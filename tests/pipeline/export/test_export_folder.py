"""A folder export holds the store's own bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.export import export_store
from pipeline.store.codec import ImageFormat
from pipeline.taxonomies import CAMVID, read_classes
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


def test_classes_file_gives_the_taxonomy_back(tmp_path: Path) -> None:
    write_store(tmp_path / "store", [sample("train_a", "train", CAMVID)], taxonomy="camvid")
    export_store(str(tmp_path / "store"), str(tmp_path / "out"), "folder")
    assert read_classes(tmp_path / "out/classes.json") == CAMVID


def test_names_keep_the_whole_key_where_one_lacks_its_split(tmp_path: Path) -> None:
    write_store(tmp_path / "store", [sample("train_a", "train"), sample("a", "train")])
    export_store(str(tmp_path / "store"), str(tmp_path / "out"), "folder")
    assert {path.name for path in tmp_path.glob("out/images/train/*")} == {"train_a.png", "a.png"}
