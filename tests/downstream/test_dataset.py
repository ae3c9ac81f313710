"""mmsegmentation's own loaders see the bytes, images and labels that the store holds."""

from __future__ import annotations

import random
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.fileio import get, get_text

from augment.errors import UserError
from downstream.dataset import Part, StoreDataset, store_digest
from downstream.mixes import SeededIndex
from downstream.tar_backend import member_path, parse_member_path
from pipeline.store import Manifest, Sample, SampleReader, Store
from pipeline.taxonomies import taxonomy_entry, taxonomy_of_classes

from .conftest import scene

PLAIN: list[Mapping[str, Any]] = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations"},
    {"type": "PackSegInputs"},
]


def members_by_tar(store_url: str) -> dict[str, bytes]:
    """Every member as the tar module reads it."""
    members = {}
    for path in sorted(Path(store_url, "shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            for entry in tar:
                content = tar.extractfile(entry)
                assert content is not None
                members[entry.name] = content.read()
    return members


def test_backend_returns_every_member_byte_for_byte(real_store: str) -> None:
    members = members_by_tar(real_store)
    assert len(members) == 32 * 3
    for name, content in members.items():
        key, _, extension = name.partition(".")
        path = member_path(real_store, key, extension)
        assert get(path) == content
        assert get(path, backend_args={"backend": "lumen"}) == content
    assert '"split":' in get_text(member_path(real_store, "train-0", "json"))


def test_a_missing_member_is_an_error(real_store: str) -> None:
    for key, extension in (("train-0", "layout.npy"), ("nobody", "png")):
        with pytest.raises(KeyError):
            get(member_path(real_store, key, extension))


@pytest.mark.parametrize("url", ["/data/real", "s3://bucket/run #2/real", "gs://b/100%/x", "memory://a/b"])
def test_any_url_survives_in_a_path_that_mmengine_takes(url: str) -> None:
    path = member_path(url, "city_1-2", "label.png")
    assert parse_member_path(path) == (url, "city_1-2", "label.png")
    assert path.count("://") == 1


@pytest.mark.parametrize("path", ["/data/a.png", "lumen://store", "lumen://store#key", "lumen://#a/png"])
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(UserError, match="not a member of a store"):
        parse_member_path(path)


@pytest.mark.parametrize("image_format", ["png", "webp", "jpg"])
def test_transforms_see_the_stored_image_and_label(tmp_path: Path, image_format: Any) -> None:
    url = str(tmp_path / "a store #1")
    store = Store.create(url, Manifest("real", "camvid", {"height": 32, "width": 48}, {}, image_format))
    store.write_shard("train-000000", [Sample(f"s{i}", *scene(i), metadata={"split": "train"}) for i in range(3)])
    dataset, reader = StoreDataset([Part(url, "train")], PLAIN), SampleReader(store)
    assert len(dataset) == 3
    for index, key in enumerate(reader.keys):
        sample, item = reader.read(key), dataset[index]
        assert sample.image is not None
        np.testing.assert_array_equal(item["data_samples"].gt_sem_seg.data.numpy()[0], sample.label)
        # mmsegmentation works on BGR until its preprocessor turns it round.
        seen = item["inputs"].numpy().transpose(1, 2, 0)[..., ::-1]
        tolerance = 3 if image_format == "jpg" else 0
        assert np.abs(seen.astype(int) - sample.image).mean() <= tolerance


def test_labels_keep_ignored_pixels(real_store: str) -> None:
    item = StoreDataset([Part(real_store, "train")], PLAIN)[0]
    label = item["data_samples"].gt_sem_seg.data.numpy()[0]
    assert (label[:, :2] == 255).all()
    assert (label[:, 2:] < 11).all()


def test_only_the_split_is_read(real_store: str, synthetic_store: str) -> None:
    dataset = StoreDataset([Part(real_store, "train"), Part(synthetic_store, "train")], PLAIN)
    paths = [dataset.get_data_info(i)[name] for i in range(len(dataset)) for name in ("img_path", "seg_map_path")]
    assert len(paths) == 2 * (24 + 24)
    assert all(parse_member_path(path)[1].startswith("train-") for path in paths)
    real, synthetic = dataset.ranges
    assert {parse_member_path(dataset.get_data_info(i)["img_path"])[0] for i in real} == {real_store}
    assert {parse_member_path(dataset.get_data_info(i)["img_path"])[0] for i in synthetic} == {synthetic_store}


def test_metadata_chooses_samples(synthetic_store: str) -> None:
    keys = [
        parse_member_path(info["img_path"])[1]
        for info in StoreDataset([Part(synthetic_store, "val", {"k": [5], "variant": [1]})], PLAIN).data_list
    ]
    assert keys == [f"val-{seed}_k05_v01" for seed in range(100, 104)]


def test_empty_parts_and_unknown_columns_are_refused(real_store: str) -> None:
    with pytest.raises(UserError, match="no labelled samples of split 'test'"):
        StoreDataset([Part(real_store, "test")], PLAIN)
    with pytest.raises(UserError, match="have no 'weather'"):
        StoreDataset([Part(real_store, "train", {"weather": ["rain"]})], PLAIN)


def test_unlabelled_samples_are_left_out(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "s"), Manifest("real", "camvid", {"height": 32, "width": 48}))
    image, label = scene(0)
    samples = [
        Sample("a", image, None, metadata={"split": "train"}),
        Sample("b", image, label, metadata={"split": "train"}),
    ]
    store.write_shard("train-000000", samples)
    assert [row["key"] for row in Part(store.url, "train").rows().to_pylist()] == ["b"]


def test_stores_of_different_classes_do_not_mix(real_store: str, tmp_path: Path) -> None:
    other = Store.create(str(tmp_path / "s"), Manifest("real", "cityscapes", {"height": 32, "width": 48}))
    other.write_shard("train-000000", [Sample("a", *scene(0), metadata={"split": "train"})])
    with pytest.raises(UserError, match="different classes"):
        StoreDataset([Part(real_store, "train"), Part(other.url, "train")], PLAIN)


def test_a_users_classes_are_known_from_the_store_alone(tmp_path: Path) -> None:
    harbour = taxonomy_of_classes("harbour", [f"berth {number}" for number in range(11)])
    url = str(tmp_path / "s")
    store = Store.create(url, Manifest("real", taxonomy_entry(harbour), {"height": 32, "width": 48}))
    store.write_shard("train-000000", [Sample("a", *scene(0), metadata={"split": "train"})])
    dataset = StoreDataset([Part(url, "train")], PLAIN)
    assert dataset.metainfo["classes"] == harbour.classes
    assert [tuple(color) for color in dataset.metainfo["palette"]] == list(harbour.palette)

    # Of the same name, but not of the same classes.
    other = taxonomy_of_classes("harbour", [f"pier {number}" for number in range(11)])
    rest = Store.create(str(tmp_path / "t"), Manifest("real", taxonomy_entry(other), {"height": 32, "width": 48}))
    rest.write_shard("train-000000", [Sample("b", *scene(0), metadata={"split": "train"})])
    with pytest.raises(UserError, match="different classes"):
        StoreDataset([Part(url, "train"), Part(rest.url, "train")], PLAIN)


def test_a_store_without_classes_is_named(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "bare"), Manifest("layouts", None, {}))
    with pytest.raises(UserError, match=r"bare has no classes"):
        StoreDataset([Part(store.url, "train")], PLAIN)


def test_augmentation_follows_the_seed_of_the_draw_and_nothing_else(real_store: str) -> None:
    random_crop = {"type": "RandomCrop", "crop_size": (16, 16)}
    pipeline = [
        *PLAIN[:2],
        random_crop,
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "PhotoMetricDistortion"},
        PLAIN[2],
    ]
    dataset = StoreDataset([Part(real_store, "train")], pipeline)
    np.random.seed(1)
    random.seed(1)
    first = dataset[SeededIndex(3, 77)]["inputs"].numpy()
    state = np.random.get_state()[1].copy()
    others = [dataset[SeededIndex(3, seed)]["inputs"].numpy() for seed in range(5)]
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    np.random.seed(2)
    random.seed(2)
    np.testing.assert_array_equal(dataset[SeededIndex(3, 77)]["inputs"].numpy(), first)
    assert len({other.tobytes() for other in others}) == 5


def test_a_store_made_again_is_not_read_by_an_old_index(tmp_path: Path) -> None:
    url, digests = str(tmp_path / "s"), set()
    for seeds in ((0, 1, 2), (9,)):
        shutil.rmtree(url, ignore_errors=True)
        store = Store.create(url, Manifest("real", "camvid", {"height": 32, "width": 48}, {"seeds": list(seeds)}))
        store.write_shard("train-000000", [Sample(f"z{s}", *scene(s), metadata={"split": "train"}) for s in seeds])
        digests.add(store_digest(url))
        dataset = StoreDataset([Part(url, "train")], PLAIN)
        last = dataset[len(dataset) - 1]["inputs"].numpy().transpose(1, 2, 0)[..., ::-1]
        np.testing.assert_array_equal(last, scene(seeds[-1])[0])
    assert len(digests) == 2
