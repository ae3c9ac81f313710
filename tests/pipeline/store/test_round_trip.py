"""What goes into a store comes out of it, by every way in."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.store import JSON, CorruptStore, InvalidSample, Sample, SampleReader, Store, fingerprint, verify_store
from pipeline.store.canonical import list_fingerprint
from pipeline.store.codec import ImageFormat, decode, encode
from tests.pipeline.store.samples import FREE, VALUES, assert_same, camvid_like, manifest, sample_lists


@settings(max_examples=60, deadline=None)
@given(sample_lists(), st.sampled_from(["png", "webp"]))
@example(
    [Sample("a", metadata={"x": 1}), Sample("b", metadata={"x": 0.5}), Sample("c", metadata={"x": "y"})],
    "png",
)
@example([Sample("a", metadata={"x": 2**70}), Sample("b", metadata={"x": True}), Sample("c")], "png")
@example([Sample("a", metadata={"x": 2**53 + 1}), Sample("b", metadata={"x": 0.5})], "png")
def test_any_samples_round_trip_with_equal_bytes(samples: list[Sample], image_format: ImageFormat) -> None:
    with tempfile.TemporaryDirectory() as root:
        kind = replace(FREE, image_format=image_format)
        store = Store.create(f"{root}/one", kind)
        receipt = store.write_shard("train-000000", iter(samples))
        again = Store.create(f"{root}/two", kind).write_shard("train-000000", samples)

        assert (receipt.sha256, receipt.index_sha256) == (again.sha256, again.index_sha256)
        assert receipt.samples == len(samples)
        reader = SampleReader(store)
        assert reader.keys == sorted(sample.key for sample in samples)
        for sample in samples:
            assert_same(reader.read(sample.key), sample)
        assert verify_store(store.url) == []


@settings(max_examples=20, deadline=None)
@given(st.lists(sample_lists(3), min_size=2, max_size=3))
def test_the_index_joins_shards_whose_metadata_differ_in_type(shards: list[list[Sample]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        store = Store.create(root, FREE)
        for number, samples in enumerate(shards):
            unique = [replace(sample, key=f"{number}_{sample.key}") for sample in samples]
            store.write_shard(f"train-{number:06d}", unique)
        rows = store.index().select(["shard", "key"]).to_pylist()
        assert rows == sorted(rows, key=lambda row: (row["shard"], row["key"]))
        assert len(rows) == sum(len(samples) for samples in shards)
        # Two shards are read together, so that three are more than one reading.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pipeline.store.store._FILES_AT_ONCE", 2)
            keys = dict(store.shard_keys())
        assert list(keys) == sorted(store.done())
        assert [(shard, key) for shard, found in keys.items() for key in found] == [
            (row["shard"], row["key"]) for row in rows
        ]


@given(st.lists(VALUES, max_size=4))
def test_the_fingerprint_of_a_stream_is_that_of_its_list(values: list[JSON]) -> None:
    assert list_fingerprint(iter(values)) == fingerprint(values)


def test_offsets_point_at_the_members(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), manifest())
    store.write_shard("train-000000", camvid_like([f"k{n}" for n in range(4)]))
    data = (tmp_path / "shards/train-000000.tar").read_bytes()
    reader = SampleReader(store)
    rows = {row["key"]: row for row in store.index().to_pylist()}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
        for name in names:
            key, _, extension = name.partition(".")
            offset, size = rows[key][f"{extension}:offset"], rows[key][f"{extension}:size"]
            stream = archive.extractfile(name)
            assert stream is not None
            member = stream.read()
            assert data[offset : offset + size] == member == reader.read_member(key, extension)
    assert names == sorted(names)
    assert rows["k2"]["number"] == 2
    assert "nested" not in rows["k2"]


def test_webdataset_reads_the_shards_unaided(tmp_path: Path) -> None:
    samples = [
        replace(sample, views=np.stack([-sample.layout, 2 * sample.layout]))
        for sample in camvid_like(["b", "a", "c_k05_v00"])
        if sample.layout is not None
    ]
    Store.create(str(tmp_path), manifest()).write_shard("train-000000", samples)
    url = f"file:{tmp_path}/shards/train-000000.tar"
    found = list(webdataset.WebDataset(url, shardshuffle=False))
    assert [item["__key__"] for item in found] == ["b", "a", "c_k05_v00"]
    for item, sample in zip(found, samples, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(item["png"]))), sample.image)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(item["label.png"]))), sample.label)
        np.testing.assert_array_equal(np.load(io.BytesIO(item["layout.npy"])), sample.layout)
        np.testing.assert_array_equal(np.load(io.BytesIO(item["views.npy"])), sample.views)
        assert json.loads(item["json"]) == sample.metadata


@pytest.mark.usefixtures("ray_cluster")
def test_ray_reads_the_shards_unaided(tmp_path: Path) -> None:
    import ray.data

    samples = camvid_like(["a", "b"])
    Store.create(str(tmp_path), manifest()).write_shard("train-000000", samples)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.read_webdataset(str(tmp_path / "shards")).take_all()
    assert sorted(row["__key__"] for row in rows) == ["a", "b"]
    by_key = {row["__key__"]: row for row in rows}
    np.testing.assert_array_equal(by_key["a"]["png"], samples[0].image)


def test_real_photographs_round_trip(tmp_path: Path, camvid_root: Path) -> None:
    paths = sorted((camvid_root / "train").iterdir())[:4]
    assert len(paths) == 4
    samples = [
        Sample(
            path.stem,
            np.asarray(Image.open(path).convert("RGB")),
            np.asarray(Image.open(camvid_root / "trainannot" / f"{path.stem}.png")),
        )
        for path in paths
    ]
    store = Store.create(str(tmp_path), FREE)
    store.write_shard("train-000000", samples)
    reader = SampleReader(store)
    for sample in samples:
        assert_same(reader.read(sample.key), sample)


def test_jpeg_is_close_and_keeps_colour_edges() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 15:] = (255, 0, 0)
    members = encode(Sample("a", image), "jpg")
    found = decode("a", members).image
    assert found is not None
    assert np.abs(found.astype(int) - image).mean() < 4


def test_a_store_at_another_file_system_has_the_same_bytes(tmp_path: Path) -> None:
    samples = camvid_like(["a", "b"])
    local = Store.create(str(tmp_path), manifest()).write_shard("train-000000", samples)
    remote = Store.create(f"memory://{tmp_path.name}/store", manifest())
    assert remote.write_shard("train-000000", samples).sha256 == local.sha256
    assert [receipt.shard for receipt in Store.open(remote.url).receipts()] == ["train-000000"]
    assert_same(SampleReader(remote, {"png", "json"}).read("b"), replace(samples[1], label=None, layout=None))
    assert verify_store(remote.url) == []
    remote.discard("train-000000")
    assert remote.done() == set()


def test_a_reader_gives_all_samples_or_those_of_a_split(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"), FREE)
    for split, keys in (("val", ("a", "d")), ("train", ("c", "b"))):
        store.write_shard(f"{split}-000000", [Sample(key, metadata={"split": split}) for key in keys])
    reader = SampleReader(store)
    assert [sample.key for sample in reader.samples()] == reader.keys
    assert [sample.key for sample in reader.samples("train")] == ["b", "c"]
    assert not list(reader.samples("test"))


def test_a_reader_reads_only_the_requested_members_and_can_be_pickled(tmp_path: Path) -> None:
    samples = camvid_like(["a"])
    store = Store.create(str(tmp_path), manifest())
    store.write_shard("train-000000", samples)
    reader = pickle.loads(pickle.dumps(SampleReader(store, {"label.png"})))
    assert_same(reader.read("a"), Sample("a", label=samples[0].label))
    with pytest.raises(KeyError):
        reader.read_member("a", "webp")
    with pytest.raises(KeyError):
        reader.read("b")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_decoding_damaged_bytes_gives_a_sample_or_a_corrupt_store(data: st.DataObject) -> None:
    members = encode(camvid_like(["a"])[0])
    extension = data.draw(st.sampled_from(sorted(members)))
    whole = members[extension]
    position = data.draw(st.integers(0, min(len(whole), 200) - 1))
    damaged = bytearray(whole)
    damaged[position] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(CorruptStore):
        decode("a", {**members, extension: bytes(damaged)})


def test_a_reader_refuses_bytes_that_are_not_there(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), manifest())
    store.write_shard("train-000000", camvid_like(["a", "b"]))
    reader = SampleReader(store)
    tar = tmp_path / "shards/train-000000.tar"
    tar.write_bytes(tar.read_bytes()[:8000])
    with pytest.raises(CorruptStore, match=r"train-000000\.tar: b\..* is cut short"):
        reader.read("b")


IMAGE = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"key": "a.b"}, "bad key"),
        ({"key": ""}, "bad key"),
        ({"key": "a/b"}, "bad key"),
        ({"key": "a\n"}, "bad key"),
        ({"image": IMAGE.astype(np.float32)}, "bad image"),
        ({"image": IMAGE[..., :2]}, "bad image"),
        ({"image": IMAGE[:0]}, "bad image"),
        ({"label": np.zeros((4, 6), np.int64)}, "bad label"),
        ({"label": np.zeros((4, 6, 1), np.uint8)}, "bad label"),
        ({"layout": np.zeros((4, 6, 1), np.float32)}, "bad layout"),
        ({"image": IMAGE, "label": np.zeros((6, 4), np.uint8)}, "size mismatch"),
        ({"metadata": {"shard": 1}}, "bad metadata name"),
        ({"metadata": {"png:size": 1}}, "bad metadata name"),
    ],
)
def test_content_that_no_store_can_hold_is_no_sample(fields: dict[str, Any], kind: str) -> None:
    with pytest.raises(InvalidSample, match=f"^{kind}: "):
        Sample(**{"key": "a", **fields})


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        (Sample("a", metadata={"x": float("nan")}), "bad metadata"),
        (Sample("a", metadata={"x": "\ud800"}), "bad metadata"),
        (Sample("a", metadata={"x": object()}), "bad metadata"),  # type: ignore[dict-item]
        (Sample("good"), "duplicate key"),
        (Sample("a", image=IMAGE), "wrong size"),
        (Sample("a", label=IMAGE[..., 0]), "wrong size"),
    ],
)
def test_a_refused_sample_does_not_change_the_shard(tmp_path: Path, sample: Sample, kind: str) -> None:
    store = Store.create(str(tmp_path), manifest())
    with store.writer("train-000000") as writer:
        writer.add(Sample("good"))
        with pytest.raises(InvalidSample, match=f"^{kind}: "):
            writer.add(sample)
        writer.add(Sample("better"))
        receipt = writer.commit([], [], 0.0, "")
    other = Store.create(str(tmp_path / "other"), manifest())
    assert receipt.sha256 == other.write_shard("train-000000", [Sample("good"), Sample("better")]).sha256
