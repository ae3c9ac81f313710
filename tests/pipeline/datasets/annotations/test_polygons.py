"""Labels of COCO's polygons and run lengths: those that pycocotools draws, pixel by pixel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.datasets import CocoOptions, Frame, RecordError, open_dataset
from pipeline.store import Store
from pipeline.store.reader import SampleReader
from tests.pipeline.datasets.trees import random_image, save
from tests.pipeline.datasets.trees_sets import write_json

HEIGHT, WIDTH = 24, 32
CATEGORIES = [{"id": 7, "name": "ship"}, {"id": 3, "name": "sea"}, {"id": 12, "name": "quay"}]
# Train ids in the order of the categories' ids.
TRAIN_IDS = {3: 0, 7: 1, 12: 2}

CORNERS = st.tuples(st.floats(-4, WIDTH + 4).map(lambda x: round(x, 2)), st.floats(-4, HEIGHT + 4))
POLYGONS = st.lists(CORNERS, min_size=3, max_size=7).map(
    lambda points: [float(value) for one in points for value in one]
)


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    """An object in one of the forms that COCO's files have, with the area that its mask has."""
    mask = coco_mask.merge(
        coco_mask.frPyObjects(polygons := draw(st.lists(POLYGONS, min_size=1, max_size=3)), HEIGHT, WIDTH)
    )
    form = draw(st.sampled_from(["polygons", "compressed", "counts"]))
    segmentation: Any = polygons
    if form == "compressed":
        segmentation = {"size": [HEIGHT, WIDTH], "counts": mask["counts"].decode()}
    if form == "counts":
        flat = coco_mask.decode(mask).ravel(order="F")
        starts = np.flatnonzero(np.diff(flat, prepend=0))
        segmentation = {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *starts, flat.size]).tolist()}
    return {
        "category_id": draw(st.sampled_from(sorted(TRAIN_IDS))),
        "iscrowd": draw(st.integers(0, 1)),
        "segmentation": segmentation,
        "area": int(coco_mask.area(mask)),
        "bbox": coco_mask.toBbox(mask).tolist(),
    }


def write(
    root: Path,
    images: Sequence[Sequence[dict[str, Any]]],
    split: str = "train",
    path: str | None = None,
    categories: Sequence[dict[str, Any]] = CATEGORIES,
) -> Path:
    """A split of one image for each list of objects; returns the file of instances."""
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": list(categories)}
    for number, found in enumerate(images):
        size = {"height": HEIGHT, "width": WIDTH}
        content["images"].append({"id": number, "file_name": f"{number}.png", **size})
        for one in found:
            content["annotations"].append({"id": len(content["annotations"]) + 1, "image_id": number, **one})
        save(root / split / f"{number}.png", random_image(np.random.default_rng(number), HEIGHT, WIDTH))
    where = root / (path or f"annotations/instances_{split}.json")
    write_json(where, content)
    return where


def square(left: int, top: int, side: int, category: int = 3, **more: Any) -> dict[str, Any]:
    right, bottom = left + side, top + side
    polygon = [left, top, right, top, right, bottom, left, bottom]
    return {"category_id": category, "segmentation": [polygon], "bbox": [left, top, side, side], "iscrowd": 0, **more}


def frames(root: Path, options: CocoOptions | None = None, split: str = "train") -> list[Frame]:
    dataset = open_dataset("coco", root, options)
    return [dataset.load(record) for record in dataset.records(split)]


def expected(path: Path, image: int, background: int = 255, shift: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Label and objects as pycocotools draws them, larger masks first."""
    coco = COCO(path)
    found = coco.loadAnns(coco.getAnnIds(imgIds=[image]))
    masks = [coco.annToMask(one).astype(bool) for one in found]
    label = np.full((HEIGHT, WIDTH), background, np.uint8)
    numbers = np.zeros((HEIGHT, WIDTH), np.int64)
    for place in sorted(range(len(found)), key=lambda place: -masks[place].sum()):
        label[masks[place]] = TRAIN_IDS[found[place]["category_id"]] + shift
        numbers[masks[place]] = 0 if found[place]["iscrowd"] else place + 1
    _, dense = np.unique(np.append(numbers, 0), return_inverse=True)
    return label, dense[:-1].reshape(HEIGHT, WIDTH)


@settings(max_examples=40)
@given(st.lists(st.lists(objects(), max_size=5), min_size=1, max_size=2))
def test_labels_and_objects_are_those_of_pycocotools(
    tmp_path_factory: pytest.TempPathFactory, images: list[list[dict[str, Any]]]
) -> None:
    if not any(images):
        images = [[square(2, 2, 6)], *images[1:]]
    path = write(root := tmp_path_factory.mktemp("coco"), images)
    dataset = open_dataset("coco", root)
    assert dataset.taxonomy is not None
    assert dataset.taxonomy.classes == ("sea", "ship", "quay")
    for options, background, shift in ((None, 255, 0), (CocoOptions(background="nothing"), 0, 1)):
        for image, frame in enumerate(frames(root, options)):
            label, numbers = expected(path, image, background, shift)
            np.testing.assert_array_equal(frame.label, label)
            np.testing.assert_array_equal(frame.instances, numbers)


def test_small_objects_stay_on_top_whatever_areas_are_stated(tmp_path: Path) -> None:
    write(tmp_path, [[square(4, 4, 4, 7, area=900), square(0, 0, 20, 3, area=1)]])
    [frame] = frames(tmp_path)
    assert frame.label is not None
    assert (frame.label[5, 5], frame.label[12, 12], frame.label[22, 30]) == (1, 0, 255)


def test_the_background_may_be_a_category_or_a_class_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, [[square(0, 0, 20, 7)], []])
    own = open_dataset("coco", tmp_path, CocoOptions(background="background"))
    named = open_dataset("coco", tmp_path, CocoOptions(background="sea"))
    assert own.taxonomy is not None and named.taxonomy is not None
    assert own.taxonomy.classes == ("background", "sea", "ship", "quay")
    assert named.taxonomy.classes == ("sea", "ship", "quay")
    assert "sea" not in named.taxonomy.things
    label, empty = (frame.label for frame in frames(tmp_path, CocoOptions(background="sea")))
    assert label is not None and empty is not None
    assert (label[2, 2], label[22, 30], *np.unique(empty)) == (1, 0, 0)


def test_an_export_of_roboflow_is_read_without_its_category_of_categories(tmp_path: Path) -> None:
    categories = [
        {"id": 0, "name": "boats", "supercategory": "none"},
        *({**category, "supercategory": "boats"} for category in CATEGORIES),
    ]
    for split in ("train", "valid"):
        write(tmp_path, [[square(1, 1, 8, 12)]], split, f"{split}/_annotations.coco.json", categories)
    dataset = open_dataset("coco", tmp_path)
    assert (dataset.splits(), dataset.taxonomy and dataset.taxonomy.classes) == (
        ["train", "valid"],
        ("sea", "ship", "quay"),
    )
    [frame] = frames(tmp_path, split="valid")
    assert frame.label is not None
    assert (frame.label[3, 3], frame.label[20, 3]) == (2, 255)


def test_a_category_may_be_called_as_the_group_that_it_is_in(tmp_path: Path) -> None:
    # Roboflow's projects of one class, and COCO's person.
    categories = [{"id": 0, "name": "sea", "supercategory": "none"}, {"id": 3, "name": "sea", "supercategory": "sea"}]
    write(tmp_path, [[square(0, 0, 6)]], categories=categories)
    taxonomy = open_dataset("coco", tmp_path, CocoOptions(background="background")).taxonomy
    assert taxonomy is not None
    assert taxonomy.classes == ("background", "sea")


def test_objects_with_boxes_alone_make_no_label_and_hide_the_background(tmp_path: Path) -> None:
    boxed = {**square(10, 10, 8, 7), "segmentation": []}
    write(tmp_path, [[square(0, 0, 6), boxed], [boxed]])
    dataset = open_dataset("coco", tmp_path, CocoOptions(background="background"))
    both, bare = dataset.records("train")
    label = dataset.load(both).label
    assert label is not None
    assert (label[2, 2], label[12, 12], label[22, 30]) == (1, 255, 0)
    assert [len(record.boxes) for record in (both, bare)] == [1, 1]
    assert bare.label is None


def test_segments_of_a_panoptic_file_go_before_polygons(tmp_path: Path) -> None:
    write(tmp_path, [[square(0, 0, 6)]])
    save(tmp_path / "annotations/panoptic_train/0.png", np.full((HEIGHT, WIDTH, 3), (5, 0, 0), np.uint8))
    segment = {"id": 5, "category_id": 1, "iscrowd": 0}
    content = {
        "images": [{"id": 0, "file_name": "0.png"}],
        "annotations": [{"image_id": 0, "file_name": "0.png", "segments_info": [segment]}],
        "categories": [{"id": 1, "name": "water", "isthing": 0}],
    }
    write_json(tmp_path / "annotations/panoptic_train.json", content)
    [frame] = frames(tmp_path)
    assert frame.label is not None
    assert np.unique(frame.label).tolist() == [0]


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[1, 1, 5, 1, 5, 5, 2]], "a polygon of 7 values"),
        ([[1, 1, 1e12, 1, 5, 5]], "a polygon's corner at 1e"),
        ([["a", 1, 5, 1, 5, 5]], "expected numbers"),
        ("outline", "neither a list of polygons"),
        ({"size": [4, 4], "counts": [16]}, "mask of size"),
        ({"size": [HEIGHT, WIDTH], "counts": [5, 5]}, "add up to 10"),
        ({"size": [HEIGHT, WIDTH], "counts": "06"}, "add up to"),
        ({"size": [HEIGHT, WIDTH], "counts": "o"}, "end in the middle"),
        ({"size": [HEIGHT, WIDTH], "counts": [-5, HEIGHT * WIDTH + 5]}, "no run lengths"),
    ],
    ids=str,
)
def test_a_mask_that_is_none_spoils_its_image_alone(tmp_path: Path, segmentation: Any, reason: str) -> None:
    write(tmp_path, [[square(0, 0, 6)], [{**square(0, 0, 6), "segmentation": segmentation}]])
    dataset = open_dataset("coco", tmp_path)
    good, broken = dataset.records("train")
    assert dataset.load(good).label is not None
    with pytest.raises(RecordError, match=rf"^broken mask: .*instances_train\.json, train/1\.png: .*{reason}"):
        dataset.load(broken)


def test_a_polygon_of_two_corners_has_no_pixel(tmp_path: Path) -> None:
    # pycocotools takes a list of four numbers for a box.
    write(tmp_path, [[{**square(0, 0, 6), "segmentation": [[1, 1, 6, 6], [10, 10, 14, 10, 14, 14]]}]])
    [frame] = frames(tmp_path)
    assert frame.label is not None
    assert (frame.label[3, 3], frame.label[11, 13]) == (255, 0)


def test_splits_of_other_categories_and_images_without_a_size_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [[square(0, 0, 6)]])
    write(tmp_path, [[square(0, 0, 6)]], "val", categories=CATEGORIES[:2])
    with pytest.raises(UserError, match="has other categories than"):
        open_dataset("coco", tmp_path).records("train")
    write(tmp_path, [[square(0, 0, 6)]], "val")
    content = json.loads(path.read_text())
    del content["images"][0]["height"]
    write_json(path, content)
    with pytest.raises(UserError, match=r"0\.png has no height and width"):
        open_dataset("coco", tmp_path).records("train")


@pytest.mark.parametrize("name", ["0.png", "0.jpg"])
def test_an_image_with_two_ids_is_refused_as_the_polygons_of_one_would_be_lost(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, [[square(0, 0, 6)]])
    content = json.loads(path.read_text())
    content["images"].append({**content["images"][0], "id": 5, "file_name": name})
    content["annotations"].append({**square(10, 10, 6), "id": 9, "image_id": 5})
    write_json(path, content)
    with pytest.raises(UserError, match=r"instances_train\.json: the image 0\.\w+ has the ids 0 and 5"):
        open_dataset("coco", tmp_path).records("train")
    # The same entry again changes nothing.
    content["images"][1] = content["images"][0]
    content["annotations"][-1]["image_id"] = 0
    write_json(path, content)
    [frame] = frames(tmp_path)
    assert frame.label is not None
    assert (frame.label[3, 3], frame.label[12, 12]) == (0, 0)


def test_an_absurd_size_spoils_its_image_alone(tmp_path: Path) -> None:
    path = write(tmp_path, [[square(0, 0, 6)], [square(0, 0, 6)]])
    content = json.loads(path.read_text())
    content["images"][1].update(height=300_000, width=300_000)
    write_json(path, content)
    dataset = open_dataset("coco", tmp_path)
    good, broken = dataset.records("train")
    assert dataset.load(good).label is not None
    with pytest.raises(RecordError, match=r"^bomb-sized label: .*train/1\.png has 300000 x 300000 = 90000"):
        dataset.annotations(broken)


def test_a_run_shards_polygons_with_the_background_that_is_stated(tmp_path: Path) -> None:
    root, workspace = tmp_path / "data", tmp_path / "space"
    for split in ("train", "val"):
        write(root, [[square(0, 0, 8, 7), square(10, 10, 6, 12)]], split)
    command = ["own", "dataset=coco", f"dataset.root={root}", "dataset.coco.background=background"]
    sizes = ["geometry.height=32", "geometry.width=32", "--workspace", str(workspace), "--executor", "serial"]
    assert guarded(["inspect", "coco", str(root), "dataset.coco.background=background"]) == 0
    assert guarded(["run", *command, *sizes, "--until", "shard"]) == 0
    store = Store.open(str(workspace / "real"))
    label = SampleReader(store).read("train_0").label
    assert label is not None
    assert set(np.unique(label)) == {0, 2, 3}
