"""The Cityscapes reader on trees in the official on-disk format, pixel by pixel."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.errors import UserError
from pipeline.datasets import RecordError, open_dataset
from pipeline.taxonomies import CITYSCAPES
from pipeline.taxonomies.cityscapes import LABEL_IDS
from tests.pipeline.datasets.trees import random_image, write_cityscapes_image

# The table of the official scripts: (name, id, train id), 255 where the class is not evaluated.
OFFICIAL = [
    ("unlabeled", 0, 255),
    ("ego vehicle", 1, 255),
    ("rectification border", 2, 255),
    ("out of roi", 3, 255),
    ("static", 4, 255),
    ("dynamic", 5, 255),
    ("ground", 6, 255),
    ("road", 7, 0),
    ("sidewalk", 8, 1),
    ("parking", 9, 255),
    ("rail track", 10, 255),
    ("building", 11, 2),
    ("wall", 12, 3),
    ("fence", 13, 4),
    ("guard rail", 14, 255),
    ("bridge", 15, 255),
    ("tunnel", 16, 255),
    ("pole", 17, 5),
    ("polegroup", 18, 255),
    ("traffic light", 19, 6),
    ("traffic sign", 20, 7),
    ("vegetation", 21, 8),
    ("terrain", 22, 9),
    ("sky", 23, 10),
    ("person", 24, 11),
    ("rider", 25, 12),
    ("car", 26, 13),
    ("truck", 27, 14),
    ("bus", 28, 15),
    ("caravan", 29, 255),
    ("trailer", 30, 255),
    ("train", 31, 16),
    ("motorcycle", 32, 17),
    ("bicycle", 33, 18),
]
HEIGHT, WIDTH = 34, 12


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return random_image(rng, HEIGHT, WIDTH)


@pytest.fixture
def label_ids() -> np.ndarray:
    """Every official id, one a row."""
    return np.repeat(np.arange(34, dtype=np.uint8)[:, None], WIDTH, axis=1)


def test_label_ids_become_the_official_train_ids(tmp_path: Path, image: np.ndarray, label_ids: np.ndarray) -> None:
    write_cityscapes_image(tmp_path, "train", "aachen_000000_000019", image, label_ids)
    dataset = open_dataset("cityscapes", tmp_path)
    [record] = dataset.records("train")
    frame = dataset.load(record)
    loaded, label = frame.image, frame.label
    np.testing.assert_array_equal(loaded, image)
    assert label is not None
    assert label.dtype == np.uint8
    for name, label_id, train_id in OFFICIAL:
        assert (label[label_id] == train_id).all(), name
        if train_id != 255:
            assert CITYSCAPES.classes[train_id] == name
            assert LABEL_IDS[train_id] == label_id


def test_a_record_says_where_everything_is(tmp_path: Path, image: np.ndarray, label_ids: np.ndarray) -> None:
    write_cityscapes_image(tmp_path, "train", "aachen_000000_000019", image, label_ids)
    [record] = open_dataset("cityscapes", tmp_path).records("train")
    assert record.key == "train_aachen_000000_000019"
    assert record.split == "train"
    assert record.image == "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    assert record.label == "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
    assert record.instances == "gtFine/train/aachen/aachen_000000_000019_gtFine_instanceIds.png"
    assert record.attributes == {"medium": "photo", "city": "aachen"}


def test_train_ids_serve_where_label_ids_are_absent(
    tmp_path: Path, image: np.ndarray, label_ids: np.ndarray, rng: np.random.Generator
) -> None:
    train_ids = rng.choice(np.array([*range(19), 255], np.uint8), (HEIGHT, WIDTH))
    write_cityscapes_image(tmp_path, "val", "bochum_000000_000001", image, label_ids, train_ids)
    write_cityscapes_image(tmp_path, "val", "bochum_000000_000002", image, None, train_ids)
    dataset = open_dataset("cityscapes", tmp_path)
    both, only = dataset.records("val")
    assert both.label is not None
    assert both.label.endswith("_labelIds.png")
    np.testing.assert_array_equal(dataset.load(only).label, train_ids)
    np.testing.assert_array_equal(np.unique(dataset.load(both).label), [*range(19), 255])


def test_attributes_lie_beside_the_images(tmp_path: Path, image: np.ndarray, label_ids: np.ndarray) -> None:
    stated = {"medium": "rendered", "time_of_day": "night", "weather": "rain"}
    write_cityscapes_image(tmp_path, "train", "lumen_000000_000000", image, label_ids, attributes=stated)
    write_cityscapes_image(tmp_path, "train", "lumen_000000_000001", image, label_ids)
    with_them, without = open_dataset("cityscapes", tmp_path).records("train")
    assert with_them.attributes == stated
    assert without.attributes == {"medium": "photo", "city": "lumen"}


def test_a_table_of_captions_takes_no_city_away(tmp_path: Path, image: np.ndarray, label_ids: np.ndarray) -> None:
    write_cityscapes_image(tmp_path, "train", "ulm_000000_000019", image, label_ids)
    [record] = open_dataset("cityscapes", tmp_path).records("train")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": record.image, "text": "two cars"}))
    [record] = open_dataset("cityscapes", tmp_path).records("train")
    assert (record.attributes, record.captions) == ({"medium": "photo", "city": "ulm"}, ("two cars",))


@pytest.mark.parametrize("content", ["{", "[1]", '{"weather": 3}'])
def test_broken_attributes_are_named(tmp_path: Path, image: np.ndarray, label_ids: np.ndarray, content: str) -> None:
    write_cityscapes_image(tmp_path, "train", "a_0_0", image, label_ids, attributes={})
    (tmp_path / "attributes/train/a/a_0_0_attributes.json").write_text(content)
    with pytest.raises(UserError, match=r"a_0_0_attributes\.json"):
        open_dataset("cityscapes", tmp_path).records("train")


def test_only_the_test_split_may_come_without_labels(tmp_path: Path, image: np.ndarray) -> None:
    for split in ("train", "test"):
        write_cityscapes_image(tmp_path, split, "berlin_000000_000019", image)
    dataset = open_dataset("cityscapes", tmp_path)
    [record] = dataset.records("test")
    frame = dataset.load(record)
    loaded, label = frame.image, frame.label
    np.testing.assert_array_equal(loaded, image)
    assert (record.label, label) == (None, None)
    with pytest.raises(UserError, match=r"'train': 1 of its images have no label.*found 1 images and 0 labels"):
        dataset.records("train")
    write_cityscapes_image(tmp_path, "test", "berlin_000000_000020", image, np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(UserError, match=r"'test': 1 of its images have no label.*found 2 images and 1 labels"):
        dataset.records("test")


def test_records_are_sorted_and_their_keys_are_unique_over_splits(
    tmp_path: Path, image: np.ndarray, label_ids: np.ndarray
) -> None:
    names = ["ulm_000000_000003", "aachen_000001_000019", "aachen_000000_000019", "ulm_000000_000010"]
    for split in ("train", "val", "test"):
        for name in names:
            write_cityscapes_image(tmp_path, split, name, image, label_ids)
    dataset = open_dataset("cityscapes", tmp_path)
    assert dataset.splits() == ["test", "train", "val"]
    keys = [record.key for split in dataset.splits() for record in dataset.records(split)]
    assert len(set(keys)) == 12
    assert keys[:4] == [f"test_{name}" for name in sorted(names)]


def test_a_name_with_odd_characters_gets_a_safe_key_of_its_own(
    tmp_path: Path, image: np.ndarray, label_ids: np.ndarray
) -> None:
    for name in ("ulm_0.5", "ulm_0-5", "ulm_0 5", "ulm_é"):
        write_cityscapes_image(tmp_path, "train", name, image, label_ids)
    keys = [record.key for record in open_dataset("cityscapes", tmp_path).records("train")]
    assert len(set(keys)) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", key) for key in keys)
    assert "train_ulm_0-5" in keys


@pytest.mark.parametrize("kind", ["label ids", "train ids"])
def test_an_unknown_id_is_reported_with_its_file(
    tmp_path: Path, image: np.ndarray, label_ids: np.ndarray, kind: str
) -> None:
    label_ids[0, :3] = (34, 200, 200)
    labels = {"label_ids": label_ids} if kind == "label ids" else {"train_ids": label_ids}
    write_cityscapes_image(tmp_path, "train", "ulm_000000_000019", image, **labels)
    dataset = open_dataset("cityscapes", tmp_path)
    [record] = dataset.records("train")
    message = (
        r"ulm_000000_000019_gtFine_labelIds\.png has ids \[34, 200\] \(3 pixels\): expected 0\.\.33$"
        if kind == "label ids"
        else r"labelTrainIds\.png has ids \[19, 20, .*expected 0\.\.18, 255$"
    )
    with pytest.raises(RecordError, match=message):
        dataset.load(record)


def test_sixteen_bit_ids_are_not_cut_to_eight(tmp_path: Path, image: np.ndarray, label_ids: np.ndarray) -> None:
    write_cityscapes_image(tmp_path, "train", "ulm_0_0", image, label_ids)
    path = tmp_path / "gtFine/train/ulm/ulm_0_0_gtFine_labelIds.png"
    wide = label_ids.astype(np.uint16)
    wide[3, 3] = 256 + 7
    Image.fromarray(wide).save(path)
    dataset = open_dataset("cityscapes", tmp_path)
    with pytest.raises(RecordError, match=r"^unknown label id: .* has ids \[263\]"):
        dataset.load(dataset.records("train")[0])


def test_a_label_of_another_size_is_reported(tmp_path: Path, image: np.ndarray, label_ids: np.ndarray) -> None:
    write_cityscapes_image(tmp_path, "train", "ulm_0_0", image, label_ids[:-1])
    dataset = open_dataset("cityscapes", tmp_path)
    with pytest.raises(RecordError, match=r"^size mismatch: .* is 34x12 pixels.*ulm_0_0_gtFine_labelIds\.png is 33x12"):
        dataset.load(dataset.records("train")[0])


def test_a_half_extracted_split_is_counted(tmp_path: Path, image: np.ndarray, label_ids: np.ndarray) -> None:
    for number in range(3):
        write_cityscapes_image(tmp_path, "train", f"ulm_0_{number}", image, label_ids)
    (tmp_path / "gtFine/train/ulm/ulm_0_1_gtFine_labelIds.png").unlink()
    dataset = open_dataset("cityscapes", tmp_path)
    with pytest.raises(UserError, match=r"3 images and 2 labels, the first without is leftImg8bit/train/ulm/ulm_0_1_l"):
        dataset.records("train")
    (tmp_path / "leftImg8bit/train/ulm/ulm_0_1_leftImg8bit.png").unlink()
    (tmp_path / "leftImg8bit/train/ulm/ulm_0_2_leftImg8bit.png").unlink()
    with pytest.raises(UserError, match=r"1 of its labels have no image.* without is gtFine/train/ulm/ulm_0_2_gtFine"):
        dataset.records("train")


def test_wrong_roots_and_splits_say_what_was_expected_where(
    tmp_path: Path, image: np.ndarray, label_ids: np.ndarray
) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: it should hold leftImg8bit/.* and gtFine/"):
        open_dataset("cityscapes", tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        open_dataset("cityscapes", tmp_path / "file")
    with pytest.raises(UserError, match=r"expected leftImg8bit/<split>/<city>/.*, found file$"):
        open_dataset("cityscapes", tmp_path)
    write_cityscapes_image(tmp_path, "train", "ulm_0_0", image, label_ids)
    (tmp_path / "leftImg8bit" / "val").mkdir()
    dataset = open_dataset("cityscapes", tmp_path)
    with pytest.raises(UserError, match=r"no split 'extra': expected the folder .*has the splits train, val"):
        dataset.records("extra")
    with pytest.raises(UserError, match=r"split 'val' has no image: expected .*_leftImg8bit\.png, found none"):
        dataset.records("val")


def test_a_reader_can_be_sent_to_a_worker(tmp_path: Path, image: np.ndarray, label_ids: np.ndarray) -> None:
    write_cityscapes_image(tmp_path, "train", "ulm_0_0", image, label_ids)
    dataset = open_dataset("cityscapes", tmp_path)
    again, records = pickle.loads(pickle.dumps((dataset, dataset.records("train"))))
    np.testing.assert_array_equal(again.load(records[0]).image, image)


def test_objects_are_numbered_and_groups_and_ignored_classes_are_none(
    tmp_path: Path, image: np.ndarray, label_ids: np.ndarray
) -> None:
    label_ids[:] = 7
    instance_ids = label_ids.astype(np.uint16)
    # Two cars, the first of them in two parts, a group of cars, a person, and a caravan, which belongs to no class.
    objects = {0: (26, 26001), 1: (26, 26000), 2: (26, 26001), 3: (26, 26), 4: (24, 24000), 5: (29, 29000)}
    for row, (label_id, value) in objects.items():
        label_ids[row], instance_ids[row] = label_id, value
    write_cityscapes_image(tmp_path, "train", "ulm_0_0", image, label_ids, instance_ids=instance_ids)
    dataset = open_dataset("cityscapes", tmp_path)
    frame = dataset.load(dataset.records("train")[0])
    assert frame.instances is not None
    assert frame.instances.dtype == np.uint16
    assert frame.instances[:, 0].tolist() == [3, 2, 3, 0, 1, 0, *[0] * (HEIGHT - 6)]
    assert (frame.instances == frame.instances[:, :1]).all()
    assert frame.label is not None
    assert frame.label[:6, 0].tolist() == [13, 13, 13, 13, 11, 255]


@pytest.mark.parametrize("value", [34, 999, 34000, 65535])
def test_an_object_of_an_unknown_label_is_reported_with_its_file(
    tmp_path: Path, image: np.ndarray, label_ids: np.ndarray, value: int
) -> None:
    instance_ids = label_ids.astype(np.uint16)
    instance_ids[0, 0] = value
    write_cityscapes_image(tmp_path, "train", "ulm_0_0", image, label_ids, instance_ids=instance_ids)
    dataset = open_dataset("cityscapes", tmp_path)
    with pytest.raises(RecordError, match=rf"^unknown instance id: .*ulm_0_0_gtFine_instanceIds\.png .*\[{value}\]"):
        dataset.load(dataset.records("train")[0])


def test_instances_of_another_size_are_reported(tmp_path: Path, image: np.ndarray, label_ids: np.ndarray) -> None:
    write_cityscapes_image(
        tmp_path, "train", "ulm_0_0", image, label_ids, instance_ids=label_ids[:-1].astype(np.uint16)
    )
    dataset = open_dataset("cityscapes", tmp_path)
    with pytest.raises(RecordError, match=r"^size mismatch: .*ulm_0_0_gtFine_instanceIds\.png is 33x12"):
        dataset.load(dataset.records("train")[0])


def test_coarse_annotations_are_a_set_of_their_own_with_the_extra_split(
    tmp_path: Path, image: np.ndarray, label_ids: np.ndarray
) -> None:
    fine, coarse = np.full_like(label_ids, 7), np.full_like(label_ids, 8)
    write_cityscapes_image(tmp_path, "train", "ulm_0_0", image, fine)
    write_cityscapes_image(tmp_path, "train", "ulm_0_0", image, coarse, annotation="gtCoarse")
    write_cityscapes_image(tmp_path, "train_extra", "bonn_0_0", image, coarse, annotation="gtCoarse")
    write_cityscapes_image(tmp_path, "test", "berlin_0_0", image)
    dataset = open_dataset("cityscapes-coarse", tmp_path)
    assert (dataset.name, dataset.splits()) == ("cityscapes-coarse", ["test", "train", "train_extra"])
    [record] = dataset.records("train_extra")
    assert record.label == "gtCoarse/train_extra/bonn/bonn_0_0_gtCoarse_labelIds.png"
    assert (dataset.load(record).label == 1).all()
    assert (dataset.load(dataset.records("train")[0]).label == 1).all()
    assert dataset.records("test")[0].label is None

    # To the fine set the extra images are there, but have no label; half of a label folder is a fault in both.
    with_fine = open_dataset("cityscapes", tmp_path)
    assert (with_fine.load(with_fine.records("train")[0]).label == 0).all()
    assert with_fine.records("train_extra")[0].label is None
    (tmp_path / str(record.label)).unlink()
    with pytest.raises(UserError, match=r"'train_extra': 1 of its images have no label: .*gtCoarse/train_extra/<city>"):
        dataset.records("train_extra")
