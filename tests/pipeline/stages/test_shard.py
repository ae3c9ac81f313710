"""A dataset with bad files in it: each is quarantined by its kind, and nothing else is lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import CamVid, Frame, Geometry, Record, Tiles, open_dataset
from pipeline.datasets.geometry import Region
from pipeline.datasets.resampling import resize_label
from pipeline.engine import (
    ErrorBudget,
    Resources,
    RunFailed,
    StageSummary,
    WorkUnit,
    make_executor,
    retry_store_stage,
    run_store_stage,
)
from pipeline.stages import dataset_source, shard
from pipeline.stages.dataset_source import plan_units
from pipeline.store import Manifest, Sample, SampleReader, Store, kind_of, verify_store
from pipeline.taxonomies import CAMVID, CITYSCAPES, translate
from tests.pipeline.datasets.geometries import geometry_of
from tests.pipeline.datasets.trees import random_image, write_camvid_image
from tests.pipeline.stages.corruptions import CORRUPTIONS

# Pillow warns of a bomb's size before it is refused.
pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")

PLAIN = geometry_of(16, 24)
STAGE = shard.Shard(Resources(), batch_size=8)


def write_tree(root: Path, count: int, height: int = 16, width: int = 24) -> list[Record]:
    rng = np.random.default_rng(0)
    for number in range(count):
        label = rng.integers(0, 12, (height, width), dtype=np.uint8)
        write_camvid_image(root, "train", f"{number:05d}", random_image(rng, height, width), label)
    return open_dataset("camvid", root).records("train")


def run(
    root: Path, store_url: Path, units: list[WorkUnit], budget: ErrorBudget, geometry: Geometry = PLAIN
) -> tuple[Store, StageSummary]:
    size = {"height": geometry.height, "width": geometry.width}
    store = Store.create(str(store_url), Manifest("real", "camvid", size))
    source = dataset_source.DatasetSource("camvid", str(root), geometry=geometry)
    return store, run_store_stage(STAGE, source, store, units, make_executor("serial"), budget, lambda _: None)


def test_thousands_of_bad_files_are_distinguished_and_no_good_one_is_lost(tmp_path: Path) -> None:
    bad = 75 * len(CORRUPTIONS)
    assert bad >= 2000
    assert len({kind for kind, _ in CORRUPTIONS}) >= 12
    root = tmp_path / "data"
    records = write_tree(root, bad + 300)
    units = plan_units({"train": records}, 64)
    dataset = open_dataset("camvid", root)
    order = np.random.default_rng(1).permutation(len(records))
    good = {records[index].key: dataset.load(records[index]) for index in order[bad:]}
    spoilt = {}
    for number, index in enumerate(order[:bad]):
        record, (kind, spoil) = records[index], CORRUPTIONS[number % len(CORRUPTIONS)]
        assert record.label is not None
        spoil(root / record.image, root / record.label, np.random.default_rng(number))
        spoilt[record.key] = kind

    store, summary = run(root, tmp_path / "store", units, ErrorBudget(rate=1.0))

    rows = store.quarantine().to_pylist()
    assert sorted(row["key"] for row in rows) == sorted(spoilt)
    assert [row for row in rows if kind_of(row["reason"]) != spoilt[row["key"]]] == []
    assert all("Traceback" in row["traceback"] and "\n" not in row["reason"] for row in rows)
    reader = SampleReader(store)
    assert set(reader.keys) == set(good)
    for key, frame in good.items():
        sample = reader.read(key)
        np.testing.assert_array_equal(sample.image, frame.image)
        np.testing.assert_array_equal(sample.label, frame.label)
    assert verify_store(store.url) == []
    assert summary.failure_reasons == Counter(spoilt.values())
    assert f"{bad} quarantined (" in str(summary)


def test_over_budget_a_run_names_what_dominates(tmp_path: Path) -> None:
    records = write_tree(tmp_path / "data", 30)
    units = plan_units({"train": records}, 30)
    for record in records[:12]:
        (tmp_path / "data" / record.image).write_bytes(b"")
    (tmp_path / "data" / records[12].image).unlink()
    with pytest.raises(RunFailed) as raised:
        run(tmp_path / "data", tmp_path / "store", units, ErrorBudget())
    assert "shard: 13 of 30 samples failed, over the budget" in str(raised.value)
    assert "12 x empty image, 1 x missing image" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_unit_of_fewer_keys_reads_only_those(tmp_path: Path) -> None:
    records = write_tree(tmp_path / "data", 4)
    [unit] = plan_units({"train": records}, 4)
    source = dataset_source.DatasetSource("camvid", str(tmp_path / "data"))
    some = WorkUnit(unit.shard, (unit.keys[1], unit.keys[3]), unit.params)
    assert [sample.key for sample in source.read(some)] == [unit.keys[1], unit.keys[3]]


def test_a_fixed_file_leaves_the_dataset_what_it_was(tmp_path: Path) -> None:
    records = write_tree(tmp_path / "data", 2)
    path = tmp_path / "data" / records[0].image
    whole, before = path.read_bytes(), dataset_source.listing_digest({"train": records})
    path.write_bytes(whole[:50])
    assert (
        dataset_source.listing_digest({"train": open_dataset("camvid", tmp_path / "data").records("train")}) == before
    )
    assert dataset_source.listing_digest({"train": records[:1]}) != before


def test_labels_are_translated_and_all_else_stays(tmp_path: Path) -> None:
    records = write_tree(tmp_path / "data", 5)
    [unit] = plan_units({"train": records}, 5)
    own = list(dataset_source.DatasetSource("camvid", str(tmp_path / "data")).read(unit))
    translated = list(dataset_source.DatasetSource("camvid", str(tmp_path / "data"), "cityscapes").read(unit))
    for before, after in zip(own, translated, strict=True):
        assert isinstance(before, Sample) and isinstance(after, Sample)
        assert before.label is not None
        np.testing.assert_array_equal(after.label, translate(before.label, CAMVID, CITYSCAPES))
        np.testing.assert_array_equal(after.image, before.image)
        assert (after.key, after.metadata) == (before.key, before.metadata)


def test_an_unlabelled_image_stays_unlabelled_in_any_classes(tmp_path: Path) -> None:
    write_camvid_image(tmp_path, "test", "a", random_image(np.random.default_rng(0), 16, 24))
    [unit] = plan_units({"test": open_dataset("camvid", tmp_path).records("test")}, 1)
    [sample] = dataset_source.DatasetSource("camvid", str(tmp_path), "cityscapes").read(unit)
    assert isinstance(sample, Sample) and sample.label is None


TILED = geometry_of(16, 24, "tiles", tiles=Tiles(rows=2, columns=2, overlap=0.25))


def test_a_unit_of_tiles_keeps_those_of_an_image_together(tmp_path: Path) -> None:
    records = write_tree(tmp_path, 5, 32, 48)
    units = plan_units({"train": records}, 10, TILED)
    assert [len(unit.keys) for unit in units] == [8, 8, 4]
    assert [key for unit in units for key in unit.keys] == [key for r in records for key in TILED.keys(r.key)]
    assert [len(unit.keys) for unit in plan_units({"train": records}, 3, TILED)] == [4] * 5


def test_tiles_are_samples_that_say_where_they_lie(tmp_path: Path) -> None:
    records = write_tree(tmp_path / "data", 3, 32, 48)
    dataset = open_dataset("camvid", tmp_path / "data")
    units = plan_units({"train": records}, 8, TILED)
    store, summary = run(tmp_path / "data", tmp_path / "store", units, ErrorBudget(), TILED)
    assert summary.samples == 12
    assert verify_store(store.url) == []
    reader = SampleReader(store)
    assert list(reader.keys) == [key for unit in units for key in unit.keys]
    for record in records:
        label = dataset.load(record).label
        assert label is not None
        for key in TILED.keys(record.key):
            sample = reader.read(key)
            region = Region(**sample.metadata["region"])  # type: ignore[arg-type]
            assert sample.metadata["source"] == record.image
            np.testing.assert_array_equal(sample.label, resize_label(label, region, Region(0, 0, 24, 16)))


def test_a_bad_file_quarantines_all_its_tiles_and_a_retry_mends_them(tmp_path: Path) -> None:
    root, records = tmp_path / "data", write_tree(tmp_path / "data", 4, 32, 48)
    units = plan_units({"train": records}, 8, TILED)
    undisturbed, _ = run(root, tmp_path / "undisturbed", units, ErrorBudget(), TILED)
    path = root / records[1].image
    whole = path.read_bytes()
    path.write_bytes(whole[:60])

    store, summary = run(root, tmp_path / "store", units, ErrorBudget(), TILED)

    assert [row["key"] for row in store.quarantine().to_pylist()] == TILED.keys(records[1].key)
    assert (summary.samples, summary.failures) == (12, 4)
    path.write_bytes(whole)
    source = dataset_source.DatasetSource("camvid", str(root), geometry=TILED)
    retried = retry_store_stage(STAGE, source, store, units, make_executor("serial"), lambda _: None)
    assert (retried.recovered, retried.failures) == (4, 0)
    digests = [{r.shard: r.sha256 for r in found.receipts()} for found in (store, undisturbed)]
    assert digests[0] == digests[1]
    assert verify_store(store.url) == []


def test_an_image_is_decoded_once_for_all_its_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    six = geometry_of(16, 24, "tiles", tiles=Tiles(rows=2, columns=3))
    records = write_tree(tmp_path / "data", 4, 32, 72)
    loaded: list[str] = []
    load = CamVid.load

    def counted(self: CamVid, record: Record, at_least: tuple[int, int] | None = None) -> Frame:
        loaded.append(record.key)
        return load(self, record, at_least)

    monkeypatch.setattr(CamVid, "load", counted)
    run(
        tmp_path / "data",
        tmp_path / "store",
        plan_units({"train": records}, 24, six),
        ErrorBudget(),
        six,
    )
    assert sorted(loaded) == [record.key for record in records]


def test_bars_are_ignored_and_a_sample_says_what_it_shows(tmp_path: Path) -> None:
    geometry = geometry_of(16, 48, "letterbox")
    records = write_tree(tmp_path / "data", 2)
    store, _ = run(tmp_path / "data", tmp_path / "store", plan_units({"train": records}, 2), ErrorBudget(), geometry)
    sample = SampleReader(store).read(records[0].key)
    assert sample.label is not None
    bar = np.ones((16, 48), bool)
    bar[:, 12:36] = False
    assert (sample.label[bar] == CAMVID.ignore_index).all()
    label = open_dataset("camvid", tmp_path / "data").load(records[0]).label
    np.testing.assert_array_equal(sample.label[:, 12:36], label)
    assert sample.metadata["region"] == {"left": 0, "top": 0, "width": 24, "height": 16}
    assert sample.metadata["content"] == {"left": 12, "top": 0, "width": 24, "height": 16}


def test_a_plain_resize_says_nothing_of_regions(tmp_path: Path) -> None:
    records = write_tree(tmp_path / "data", 1)
    [unit] = plan_units({"train": records}, 1)
    [sample] = dataset_source.DatasetSource("camvid", str(tmp_path / "data"), geometry=geometry_of(8, 8)).read(unit)
    assert isinstance(sample, Sample)
    assert not {"region", "content"} & set(sample.metadata)


def test_a_limit_takes_images_from_the_whole_of_a_split(tmp_path: Path) -> None:
    for number in range(9):
        write_camvid_image(tmp_path, "train", f"{number}", np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))
    chosen = dataset_source.select({"train": open_dataset("camvid", tmp_path).records("train")}, {"train": 3})
    assert [record.key for record in chosen["train"]] == ["train_0", "train_3", "train_6"]
    [unit, _] = plan_units(chosen, 2)
    assert unit.shard == "train-000000"
