"""A dataset is read the same from a folder and from an object store that fails now and then."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from s3fs import S3FileSystem

from augment.errors import UserError
from pipeline.datasets import Record, RecordError, open_dataset
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.record import Box
from pipeline.engine import ErrorBudget, Resources, make_executor, run_store_stage
from pipeline.stages import dataset_source, shard
from pipeline.stages.dataset_source import plan_units
from pipeline.store import Manifest, Store, verify_store
from tests.pipeline.datasets.geometries import geometry_of
from tests.pipeline.datasets.trees import random_image, write_cityscapes_image
from tests.pipeline.store.object_store import Proxy


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    root = tmp_path / "cityscapes"
    rng = np.random.default_rng(0)
    for number in range(6):
        ids = rng.integers(0, 34, (16, 32), dtype=np.uint8)
        attributes = {"weather": "rain"} if number % 2 else None
        write_cityscapes_image(
            root, "train", f"ulm_{number:06d}_000019", random_image(rng, 16, 32), ids, None, attributes
        )
    (root / "leftImg8bit" / "train" / "ulm" / "._ulm_000000_000019_leftImg8bit.png").write_bytes(
        b"a finder's droppings"
    )
    return root


def sharded(root: str, url: str) -> Store:
    dataset = open_dataset("cityscapes", root)
    records = {"train": dataset.records("train")}
    store = Store.create(url, Manifest("real", "cityscapes", {"height": 16, "width": 32}, {}))
    stage = shard.Shard(Resources(), 4)
    source = dataset_source.DatasetSource("cityscapes", root, geometry=geometry_of(16, 32))
    units = plan_units(records, 2)
    run_store_stage(stage, source, store, units, make_executor("serial"), ErrorBudget(), lambda _: None)
    return store


def test_a_dataset_in_a_bucket_gives_the_shards_that_the_folder_gives(
    cityscapes: Path, tmp_path: Path, proxy: Proxy, bucket: str
) -> None:
    here = sharded(str(cityscapes), str(tmp_path / "here"))
    S3FileSystem().put(str(cityscapes), f"{bucket}/data", recursive=True)
    proxy.seeded(rate=0.4)
    there = sharded(f"{bucket}/data", str(tmp_path / "there"))
    assert sum(proxy.faults.values()) > 3
    assert [(row.shard, row.sha256, row.samples) for row in there.receipts()] == [
        (row.shard, row.sha256, row.samples) for row in here.receipts()
    ]
    assert there.totals().samples == 6
    assert verify_store(there.url) == []


def test_what_is_wrong_in_a_bucket_is_reported_as_in_a_folder(cityscapes: Path, bucket: str) -> None:
    fs = S3FileSystem()
    fs.put(str(cityscapes), f"{bucket}/data", recursive=True)
    fs.pipe_file(f"{bucket}/data/empty.png", b"")
    tree = Tree(f"{bucket}/data")
    for path, kind in (("empty.png", "empty image"), ("gone.png", "missing image")):
        with pytest.raises(RecordError, match=rf"^{kind}: s3://.*/data/{path}"):
            tree.read(path, "image")
    with pytest.raises(UserError, match=r"^dataset root s3://.*/nowhere does not exist: it should hold leftImg8bit/"):
        open_dataset("cityscapes", f"{bucket}/nowhere")
    with pytest.raises(
        UserError, match=r"is not a CamVid folder: .* found attributes/, empty.png, gtFine/, leftImg8bit/"
    ):
        open_dataset("camvid", f"{bucket}/data")


def test_a_dataset_travels_by_pickle(cityscapes: Path) -> None:
    dataset = open_dataset("cityscapes", cityscapes)
    again = pickle.loads(pickle.dumps(dataset))
    [record, *_] = again.records("train")
    np.testing.assert_array_equal(again.load(record).image, dataset.load(record).image)


def test_a_record_survives_as_json() -> None:
    boxes = (Box("car", 1.5, 2, 30, 40), Box("person", 0, 0, 3.25, 4))
    full = Record("k", "train", "a.png", "b.png", "c.png", {"medium": "photo"}, ("a street", "cars"), boxes)
    bare = Record("k", "train", "a.png")
    for record in (full, bare):
        assert Record.from_json(record.to_json()) == record


def test_a_folder_in_a_bucket_may_be_called_as_the_one_above_it(bucket: str) -> None:
    S3FileSystem().pipe_file(f"{bucket}/images/images/x.png", b"x")
    assert Tree(f"{bucket}/images").folders() == ["images"]
    assert Tree(bucket).folders("images") == ["images"]


def test_a_folder_that_is_linked_into_itself_is_named(cityscapes: Path) -> None:
    city = next((cityscapes / "leftImg8bit" / "train").iterdir())
    (cityscapes / "elsewhere").mkdir()
    (cityscapes / "elsewhere" / "more").symlink_to(city)
    (city / "train").symlink_to(city.parent)
    with pytest.raises(UserError, match=rf"/{city.name}/train is a link to a folder that contains it: remove it$"):
        open_dataset("cityscapes", cityscapes).records("train")
    (city / "train").unlink()
    assert len(Tree(cityscapes).files("elsewhere", ".png")) == 6
