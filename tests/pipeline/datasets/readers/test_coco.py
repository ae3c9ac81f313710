"""The reader of COCO's formats, pixel by pixel, and its boxes and captions against those of pycocotools."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from s3fs import S3FileSystem

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.datasets import Frame, Record, RecordError, open_dataset
from pipeline.taxonomies import CITYSCAPES
from tests.pipeline.datasets.trees import save
from tests.pipeline.datasets.trees_coco import CATEGORIES, STUFF_IDS, THING_IDS, PanopticSplit, segment, segment_map
from tests.pipeline.datasets.trees_sets import save_jpeg, write_coco_annotations, write_json

# Two objects of one category, a crowd of it, another object, stuff, and pixels of no segment.
IDS = np.array(
    [
        [5_000_000, 5_000_000, 70_000, 70_000, 0, 0],
        [5_000_000, 5_000_000, 70_000, 300, 300, 0],
        [16_777_215, 16_777_215, 9, 9, 300, 300],
        [16_777_215, 16_777_215, 9, 9, 9, 9],
    ]
)
SEGMENTS = [
    segment(5_000_000, 1),
    segment(300, 1, crowd=1),
    segment(70_000, 1),
    segment(9, 200),
    segment(16_777_215, 90),
]
NAMES = ("000000000009", "000000000010")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images as the archives of 2017 unpack, with segments, captions and objects; one image has no object."""
    split = PanopticSplit(tmp_path, "train2017")
    split.add(NAMES[0], IDS, SEGMENTS)
    split.add(NAMES[1], np.full((4, 6), 256), [segment(256, 92)])
    split.write()
    objects = [(9, 1, (0.5, 1.0, 2.0, 3.25), 0), (9, 3, (0.0, 0.0, 6.0, 4.0), 1), (10, 3, (1.0, 1.0, 2.0, 2.0), 0)]
    captions = [(10, "Grass."), (9, "People\n and  a brush "), (9, "People.")]
    write_coco_annotations(tmp_path, "train2017", {9: (4, 6), 10: (4, 6)}, captions, objects)
    return tmp_path


def first(root: Path, split: str = "train") -> Frame:
    dataset = open_dataset("coco", root)
    return dataset.load(dataset.records(split)[0])


def without_panoptic(root: Path) -> None:
    (root / "annotations/panoptic_train2017.json").unlink()
    shutil.rmtree(root / "annotations/panoptic_train2017")


def edit(root: Path, change: Callable[[dict], None], name: str = "panoptic_train2017") -> None:
    path = root / f"annotations/{name}.json"
    content = json.loads(path.read_text())
    change(content)
    write_json(path, content)


def test_segments_become_classes_and_numbered_objects(root: Path) -> None:
    frame = first(root)
    person, brush, rug = THING_IDS.index(1), THING_IDS.index(90), len(THING_IDS) + STUFF_IDS.index(200)
    train_ids = {0: 255, 5_000_000: person, 300: person, 70_000: person, 9: rug, 16_777_215: brush}
    objects = {70_000: 1, 5_000_000: 2, 16_777_215: 3}
    assert frame.label is not None and frame.instances is not None
    assert (frame.label.dtype.name, frame.instances.dtype.name) == ("uint8", "uint16")
    np.testing.assert_array_equal(frame.label, np.vectorize(train_ids.get)(IDS))
    np.testing.assert_array_equal(frame.instances, np.vectorize(lambda number: objects.get(number, 0))(IDS))
    np.testing.assert_array_equal(first_of(root, NAMES[1]).instances, np.zeros((4, 6)))


def first_of(root: Path, name: str) -> Frame:
    dataset = open_dataset("coco", root)
    [record] = [record for record in dataset.records("train") if record.key == f"train_{name}"]
    return dataset.load(record)


def test_classes_are_the_categories_in_the_order_of_their_ids(root: Path) -> None:
    edit(root, lambda content: content["categories"].reverse())
    taxonomy = open_dataset("coco", root).taxonomy
    assert taxonomy is not None and taxonomy.ignore_index == 255
    assert taxonomy.classes == tuple(f"category {number}" for number in (*THING_IDS, *STUFF_IDS))
    assert taxonomy.things == taxonomy.classes[:80]
    assert taxonomy.palette[-1] == (200, 55, 7)


def test_labels_of_more_than_255_categories_have_16_bits(tmp_path: Path) -> None:
    categories = [{"id": 3 * number, "name": f"c{number}"} for number in range(1, 301)]
    split = PanopticSplit(tmp_path, "val", categories)
    split.add("a", np.array([[0, 1, 2]]), [segment(1, 900), segment(2, 3)])
    split.write()
    frame = first(tmp_path, "val")
    assert frame.label is not None and frame.label.dtype == np.uint16
    assert frame.label.tolist() == [[65535, 299, 0]]


def test_classes_of_cityscapes_are_known_as_such(tmp_path: Path) -> None:
    split = PanopticSplit(tmp_path, "val", [{"id": n, "name": name} for n, name in enumerate(CITYSCAPES.classes, 7)])
    split.add("a", np.array([[1]]), [segment(1, 7)])
    split.write()
    assert open_dataset("coco", tmp_path).taxonomy == CITYSCAPES


def test_a_record_holds_all_that_a_worker_needs(root: Path) -> None:
    records = open_dataset("coco", root).records("train")
    frame = first(root)
    for path in (root / "annotations").glob("*.json"):
        path.write_text("unreadable")
    travelled = [Record.from_json(json.loads(json.dumps(record.to_json()))) for record in records]
    assert travelled == records
    found = open_dataset("coco", root).load(travelled[0])
    np.testing.assert_array_equal(found.label, frame.label)
    np.testing.assert_array_equal(found.instances, frame.instances)


def test_captions_are_those_of_pycocotools_in_the_order_of_the_file(root: Path) -> None:
    captions = COCO(root / "annotations/captions_train2017.json")
    for record in open_dataset("coco", root).records("train"):
        found = captions.loadAnns(captions.getAnnIds(imgIds=[int(record.key[-12:])]))
        assert list(record.captions) == [" ".join(caption["caption"].split()) for caption in found] != []


def test_a_caption_of_blanks_is_none(root: Path) -> None:
    edit(root, lambda content: content["annotations"][2].update(caption=" \n"), "captions_train2017")
    one, other = open_dataset("coco", root).records("train")
    assert (one.captions, other.captions) == (("People and a brush",), ("Grass.",))


def test_without_masks_images_are_unlabelled_and_boxes_those_of_pycocotools(root: Path) -> None:
    def unmask(content: dict) -> None:
        for found, empty in zip(content["annotations"], ([], None, [[]]), strict=True):
            found["segmentation"] = empty

    without_panoptic(root)
    edit(root, unmask, "instances_train2017")
    objects, dataset = COCO(root / "annotations/instances_train2017.json"), open_dataset("coco", root)
    assert dataset.taxonomy is None
    for record in dataset.records("train"):
        found = objects.loadAnns(objects.getAnnIds(imgIds=[int(record.key[-12:])], iscrowd=False))
        boxes = [(objects.cats[one["category_id"]]["name"], tuple(one["bbox"])) for one in found]
        assert [(box.category, (box.left, box.top, box.width, box.height)) for box in record.boxes] == boxes != []
        frame = dataset.load(record)
        assert frame.label is None and frame.instances is None
        assert frame.boxes == record.boxes


def test_beside_segments_a_box_is_an_object_without_a_mask(root: Path) -> None:
    def unmask(content: dict) -> None:
        content["annotations"][0]["segmentation"] = []
        content["annotations"][2]["segmentation"] = {"size": [4, 6], "counts": "abc"}

    assert [record.boxes for record in open_dataset("coco", root).records("train")] == [(), ()]
    edit(root, unmask, "instances_train2017")
    [box], nothing = (record.boxes for record in open_dataset("coco", root).records("train"))
    assert (box.category, box.left, box.height) == ("person", 0.5, 3.25)
    assert nothing == ()


@pytest.mark.parametrize("place", ["images/train2017", "images", ""])
def test_images_may_lie_where_their_file_names_lead(root: Path, place: str) -> None:
    (root / "images").mkdir()
    (root / "train2017").rename(root / "images/train2017")
    if place != "images/train2017":
        (root / "images/train2017").rename(root / "photos")
        (root / "photos").rename(root / place / "photos")
        for name in ("panoptic", "instances", "captions"):
            prefix_names(root / f"annotations/{name}_train2017.json", "photos/")
            (root / f"annotations/{name}_train2017.json").rename(root / f"annotations/{name}_mine.json")
        (root / "annotations/panoptic_train2017").rename(root / "annotations/panoptic_mine")
    dataset = open_dataset("coco", root)
    [split] = dataset.splits()
    records = dataset.records(split)
    assert len({record.key for record in records}) == 2
    assert all(record.captions and dataset.load(record).label is not None for record in records)


def prefix_names(path: Path, prefix: str) -> None:
    content = json.loads(path.read_text())
    for image in content["images"]:
        image["file_name"] = prefix + image["file_name"]
    write_json(path, content)


def test_splits_are_those_of_which_there_are_images(root: Path) -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    for folder in ("test2017", "unlabeled2017", "thumbnails"):
        save_jpeg(root / folder / "000000000001.jpg", image)
    # One archive holds the files of all splits.
    for name in ("instances_val2017", "image_info_test2017", "image_info_test-dev2017", "person_keypoints_train2017"):
        write_json(root / f"annotations/{name}.json", {"images": [{"id": 1, "file_name": "000000000001.jpg"}]})
    dataset = open_dataset("coco", root)
    assert dataset.splits() == ["test", "train", "unlabeled"]
    for split in ("test", "unlabeled"):
        [record] = dataset.records(split)
        assert record.label is None
        assert record.key == f"{split}_000000000001"


def test_only_what_is_listed_without_a_segment_map_is_unlabelled(root: Path) -> None:
    split = PanopticSplit(root, "val2017")
    split.add("a", IDS, SEGMENTS)
    split.add("b", None)
    split.write()
    records = open_dataset("coco", root).records("val")
    assert [record.label is None for record in records] == [False, True]


def test_the_bucket_gives_what_the_folder_gives(root: Path, bucket: str) -> None:
    S3FileSystem().put(str(root), f"{bucket}/coco", recursive=True)
    here, there = open_dataset("coco", root), open_dataset("coco", f"{bucket}/coco")
    records = there.records("train")
    assert records == here.records("train")
    assert there.taxonomy == here.taxonomy
    mine, other = here.load(records[0]), there.load(records[0])
    np.testing.assert_array_equal(mine.image, other.image)
    np.testing.assert_array_equal(mine.instances, other.instances)


MAP = f"annotations/panoptic_train2017/{NAMES[0]}.png"


@pytest.mark.parametrize(
    ("ids", "fault"),
    [
        (
            IDS + (IDS == 9),
            rf"^unknown segment id: .*{NAMES[0]}\.png has 10 \(6 pixels\): expected 0 or .* 5 segments$",
        ),
        (IDS[:, :5], rf"^size mismatch: .*{NAMES[0]}\.jpg is 4x6 .* but {NAMES[0]}\.png is 4x5$"),
    ],
)
def test_a_segment_map_that_does_not_fit_is_reported_by_kind(root: Path, ids: np.ndarray, fault: str) -> None:
    save(root / MAP, segment_map(ids))
    with pytest.raises(RecordError, match=fault):
        first(root)


def test_a_segment_map_that_is_none_is_reported_by_kind(root: Path) -> None:
    dataset = open_dataset("coco", root)
    [record, _] = dataset.records("train")
    save(root / MAP, IDS.astype(np.uint16))
    with pytest.raises(RecordError, match=r"^wrong label mode: .*9\.png has mode I;16: expected 8-bit colours$"):
        dataset.load(record)
    (root / MAP).unlink()
    with pytest.raises(RecordError, match=r"^missing label: .*9\.png is not there$"):
        dataset.load(record)
    again = {**segment(70_000, 1), "instance_number": 4}
    edit(root, lambda content: content["annotations"][0]["segments_info"].append(again))
    save(root / MAP, segment_map(IDS))
    with pytest.raises(RecordError, match=r"^ambiguous segment id: .*9\.png has several segments of the id 70000$"):
        first(root)


@pytest.mark.parametrize("name", ["panoptic", "instances", "captions"])
def test_two_images_of_one_id_are_refused(root: Path, name: str) -> None:
    edit(root, lambda content: content["images"][1].update(id=9), f"{name}_train2017")
    with pytest.raises(UserError, match=rf"{name}_train2017\.json: the images {NAMES[0]} and {NAMES[1]} .* id 9$"):
        open_dataset("coco", root).records("train")


def test_an_image_with_two_ids_is_refused_where_each_has_segments(root: Path) -> None:
    def twice(content: dict) -> None:
        content["images"].append({**content["images"][0], "id": 77})
        content["annotations"].append({**content["annotations"][0], "image_id": 77})

    edit(root, twice)
    with pytest.raises(UserError, match=r"panoptic_train2017\.json: the image \w+ has the ids 9 and 77"):
        open_dataset("coco", root).records("train")


def test_crowds_may_be_true_and_false(root: Path) -> None:
    without_panoptic(root)
    before = [record.boxes for record in open_dataset("coco", root).records("train")]

    def say(content: dict) -> None:
        for one in content["annotations"]:
            one["iscrowd"] = bool(one["iscrowd"])

    edit(root, say, "instances_train2017")
    assert [record.boxes for record in open_dataset("coco", root).records("train")] == before != []


def of_first(content: dict) -> dict:
    return content["annotations"][0]["segments_info"][0]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda content: of_first(content).update(category_id=91), "refers to the unknown id 91"),
        (lambda content: content["annotations"][0].update(image_id=7), "refers to the unknown id 7"),
        (lambda content: of_first(content).update(id=0), r"unexpected JSON: .*Expected `int` >= 1"),
        (lambda content: content.pop("categories"), "unexpected JSON: .*missing required field `categories`"),
        (lambda content: content["categories"].clear(), "expected categories with an id of their own each, found 0"),
        (lambda content: content["categories"][1].update(id=1), "an id of their own each, found 133 in all"),
        (lambda content: content["categories"][1].update(name="category 1"), "two classes are called 'category 1'"),
        (
            lambda content: content["categories"][1].update(color=[0, 0, 256]),
            r"\(0, 0, 256\) is not of values 0\.\.255",
        ),
    ],
)
def test_a_panoptic_file_that_contradicts_itself_is_refused(
    root: Path, change: Callable[[dict], None], fault: str
) -> None:
    edit(root, change)
    with pytest.raises(UserError, match=rf"panoptic_train2017\.json.*{fault}|{fault}") as error:
        open_dataset("coco", root).records("train")
    assert "\n" not in str(error.value)
    assert "panoptic_train2017.json" in str(error.value)


def remove_image(root: Path) -> None:
    (root / f"train2017/{NAMES[1]}.jpg").unlink()


def add_image(root: Path) -> None:
    shutil.copy(root / f"train2017/{NAMES[1]}.jpg", root / "train2017/extra.jpg")


def add_map(root: Path) -> None:
    shutil.copy(root / MAP, root / "annotations/panoptic_train2017/extra.png")


def remove_maps(root: Path) -> None:
    shutil.rmtree(root / "annotations/panoptic_train2017")


def remove_json(root: Path) -> None:
    (root / "annotations/panoptic_train2017.json").unlink()


FAULTS = [
    (
        remove_image,
        r"1 images that .*panoptic_train2017\.json lists are missing: expected .*/train2017/\*\*, found 1 images, "
        rf"and 2 are listed, the first missing one is {NAMES[1]}\.jpg$",
    ),
    (
        add_image,
        r"1 images are not in the list of .*panoptic_train2017\.json: found 3 images, and 2 are listed, the first that "
        r"is not listed is train2017/extra\.jpg$",
    ),
    (add_map, r"1 of its labels have no image: .* found 2 images and 3 labels, .*/extra\.png;"),
    (remove_maps, rf"2 of its images have no label: expected .*/panoptic_train2017/\*\.png .*/{NAMES[0]}\.jpg$"),
    (remove_json, r"2 of its labels have no image: expected .* that .*panoptic_train2017\.json describes, found 2"),
]


@pytest.mark.parametrize(("harm", "fault"), FAULTS)
def test_what_is_missing_is_counted(root: Path, harm: Callable[[Path], None], fault: str) -> None:
    harm(root)
    with pytest.raises(UserError, match=rf"^split 'train': {fault}") as error:
        open_dataset("coco", root).records("train")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("harm", [harm for harm, _ in FAULTS])
def test_inspect_describes_what_is_refused(
    root: Path, harm: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(["inspect", "coco", str(root)]) == 0
    assert "no file is missing" in capsys.readouterr().out
    harm(root)
    assert guarded(["inspect", "coco", str(root)]) == 1
    assert "split 'train', " in capsys.readouterr().out


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zips").mkdir()
    with pytest.raises(
        UserError, match=r"is not a COCO folder: expected annotations/panoptic_<split>\.json, .*found zips/$"
    ):
        open_dataset("coco", tmp_path)


def test_splits_and_classes_file_must_agree(root: Path) -> None:
    other = PanopticSplit(root, "val2017", CATEGORIES[:-1])
    other.add("a", IDS, SEGMENTS)
    other.write()
    with pytest.raises(UserError, match=r"panoptic_val2017\.json has other categories than .*panoptic_train2017\.json"):
        open_dataset("coco", root).records("train")
    (root / "annotations/panoptic_val2017.json").unlink()
    write_json(root / "classes.json", {"classes": ["ship", "sea"]})
    with pytest.raises(UserError, match=r"classes\.json names other classes than .*panoptic_train2017\.json"):
        open_dataset("coco", root).records("train")
