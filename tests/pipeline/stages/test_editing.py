"""Edited sources of generation: what is done depends on the sample alone, and labels, objects and boxes follow it."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from augment.layouts.scene import in_blocks
from pipeline.engine import Failed, Resources, WorkUnit
from pipeline.stages.edit_options import EditOptions
from pipeline.stages.edit_survey import Donors, Survey, SurveyScenes, scene_of
from pipeline.stages.editing import EditedSource
from pipeline.stages.reading import PairedSource, StoreSource
from pipeline.store import Manifest, Sample, SampleReader, Store
from pipeline.taxonomies import taxonomy_entry, taxonomy_of_classes

CLASSES = ("sky", "road", "car", "pole")
SKY, ROAD, CAR, POLE = range(4)
SIZE, GRID, COMPONENTS = (32, 64), (4, 8), 3
TRAIN = tuple(f"train_{name}" for name in "abcd")
VAL = ("val_a", "val_b")


def street(key: str, *, instances: bool = True, labelled: bool = True) -> Sample:
    """Sky above a road, with a few cars that stand on it, a pole and an ignored corner."""
    rng = np.random.default_rng(list(key.encode()))
    label = np.full(SIZE, SKY, np.uint8)
    label[16:] = ROAD
    objects = np.zeros(SIZE, np.uint16)
    for number in (3, 9):
        left = int(rng.integers(0, 44))
        label[10:22, left : left + 17], objects[10:22, left : left + 17] = CAR, number
    label[2:18, 60:63] = POLE
    label[28:, :4] = 255
    layout = rng.normal(size=(COMPONENTS, *GRID)).astype(np.float16)
    box = {"category": "car", "left": 0.5, "top": 1.0, "width": 4.0, "height": 4.0}
    metadata = {"split": key.partition("_")[0], "dataset": "streets", "boxes": [box], "medium": "photo"}
    image = np.zeros((*SIZE, 3), np.uint8)
    return Sample(key, image, label if labelled else None, layout, metadata, objects if instances else None)


def write(folder: Path, samples: list[Sample]) -> PairedSource:
    """The samples as a real store and a store of layouts, a shard for each sample."""
    taxonomy = taxonomy_entry(taxonomy_of_classes("streets", CLASSES))
    size = {"height": SIZE[0], "width": SIZE[1]}
    for kind in ("real", "layouts"):
        store = Store.create(str(folder / kind), Manifest(kind, taxonomy if kind == "real" else None, size))
        for index, sample in enumerate(samples):
            whole = (
                replace(sample, layout=None)
                if kind == "real"
                else Sample(sample.key, layout=sample.layout, metadata=sample.metadata)
            )
            store.write_shard(f"{sample.metadata['split']}-{index:06d}", [whole])
    return PairedSource(
        StoreSource(str(folder / "real"), ("label", "instances")), StoreSource(str(folder / "layouts"), ("layout",))
    )


def edited_source(folder: Path, source: PairedSource, keys: tuple[str, ...], **options: object) -> EditedSource:
    """The source of a run with these edits, its survey made from all samples."""
    edits = EditOptions.model_validate(options)
    survey = SurveyScenes(source, edits, CLASSES, 255, Resources())
    found = Survey.merged([survey.run(WorkUnit(key, (key,))) for key in keys])
    found.require_useful(edits, CLASSES)
    folder.mkdir()
    found.save(folder)
    return EditedSource(source, Donors(folder), edits, CLASSES, 255, seed=3)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> PairedSource:
    return write(tmp_path_factory.mktemp("streets"), [street(key) for key in (*TRAIN, *VAL)])


def read(source: EditedSource, keys: tuple[str, ...], variant: int = 0, k: int = 5) -> dict[str, Sample]:
    found = list(source.read(WorkUnit("unit", keys, {"variant": variant, "k": k})))
    assert not any(isinstance(item, Failed) for item in found)
    return {item.key: item for item in found if isinstance(item, Sample)}


def same(one: Sample, other: Sample) -> bool:
    return one.metadata == other.metadata and all(
        np.array_equal(getattr(one, part), getattr(other, part)) for part in ("layout", "label", "instances")
    )


PASTE = {"classes": ["car"], "number": [1, 3]}


def test_edits_depend_on_sample_and_variant_and_on_nothing_else(source: PairedSource, tmp_path: Path) -> None:
    edited = edited_source(tmp_path / "edits", source, TRAIN, paste=PASTE)
    together = read(edited, TRAIN)
    other = pickle.loads(pickle.dumps(edited_source(tmp_path / "again", source, TRAIN[::-1], paste=PASTE)))
    for key in TRAIN:
        assert same(together[key], read(other, (key,), k=1)[key])
    variants = [read(edited, TRAIN, variant)[TRAIN[0]] for variant in range(6)]
    assert len({str(one.metadata["edits"]) for one in variants}) > 1


def test_what_was_pasted_is_what_the_metadata_tells(source: PairedSource, tmp_path: Path) -> None:
    edited = edited_source(
        tmp_path / "edits", source, (*TRAIN, *VAL), paste={"classes": ["car"]}, splits=["train", "val"]
    )
    seen = 0
    for variant in range(8):
        for key, sample in read(edited, (*TRAIN, *VAL), variant).items():
            [done] = sample.metadata["edits"]  # type: ignore[misc]
            if "skipped" in done:
                assert not sample.metadata["edited"] and done["operation"] == "paste"
                continue
            seen += 1
            assert done["donor"].partition("_")[0] == key.partition("_")[0], "donors are of the same split"
            assert done["donor"] != key and done["offset"][1] == 0
            donor, before = street(done["donor"]), street(key)
            share = (in_blocks(donor.instances == done["object"])).mean(axis=(1, 3))  # type: ignore[arg-type]
            shift = done["offset"][0] // 8
            changed = 0
            for row, column in np.ndindex(GRID):
                comes = 0 <= column - shift < GRID[1] and share[row, column - shift] >= 0.5
                origin, place = (donor, (row, column - shift)) if comes else (before, (row, column))
                vector = sample.layout[:, row, column]  # type: ignore[index]
                if comes and (vector == before.layout[:, row, column]).all():  # type: ignore[index]
                    origin, place, comes = before, (row, column), False  # A nearer car stays in front.
                assert (vector == origin.layout[:, place[0], place[1]]).all()  # type: ignore[index]
                block = in_blocks(sample.label)[row, :, column]  # type: ignore[arg-type]
                assert (block == in_blocks(origin.label)[place[0], :, place[1]]).all()  # type: ignore[arg-type]
                changed += comes
            assert changed == done["cells"]
    assert seen > 20


def test_boxes_are_those_of_the_instances_after_the_edit(source: PairedSource, tmp_path: Path) -> None:
    edited = edited_source(
        tmp_path / "edits", source, TRAIN, paste=PASTE, remove={"classes": ["car"], "probability": 0.5}
    )
    for sample in read(edited, TRAIN, variant=2).values():
        assert sample.metadata["edited"] and sample.instances is not None and sample.label is not None
        ids = [int(number) for number in np.unique(sample.instances) if number]
        boxes = sample.metadata["boxes"]
        assert isinstance(boxes, list) and len(boxes) == len(ids)
        for number, box in zip(ids, boxes, strict=True):
            rows, columns = np.nonzero(sample.instances == number)
            assert box["left"] == columns.min() and box["width"] == columns.max() + 1 - columns.min()
            assert box["top"] == rows.min() and box["height"] == rows.max() + 1 - rows.min()
            assert box["category"] == "car"


def test_without_instances_objects_are_connected_pixels_and_boxes_are_dropped(tmp_path: Path) -> None:
    source = write(tmp_path, [street(key, instances=False) for key in TRAIN])
    edited = edited_source(tmp_path / "edits", source, TRAIN, remove={"classes": ["car"]})
    for sample in read(edited, TRAIN).values():
        assert sample.label is not None and not (sample.label == CAR).any()
        assert sample.instances is None and "boxes" not in sample.metadata


@pytest.mark.parametrize("fill", ["surroundings", "prototype"])
def test_all_objects_of_removed_classes_are_gone(source: PairedSource, tmp_path: Path, fill: str) -> None:
    edited = edited_source(tmp_path / "edits", source, TRAIN, remove={"classes": ["car", "pole"], "fill": fill})
    for sample in read(edited, TRAIN).values():
        assert sample.label is not None and sample.instances is not None
        assert not np.isin(sample.label, (CAR, POLE)).any() and not sample.instances.any()
        assert sample.metadata["boxes"] == []
        assert {done["class"] for done in sample.metadata["edits"]} == {"car", "pole"}  # type: ignore


def test_prototypes_and_blends_leave_labels_alone(source: PairedSource, tmp_path: Path) -> None:
    edited = edited_source(
        tmp_path / "edits", source, TRAIN, prototype={"classes": ["sky"]}, blend={"weight": 0.5, "probability": 1}
    )
    for key, sample in read(edited, TRAIN).items():
        before = street(key)
        assert np.array_equal(sample.label, before.label) and np.array_equal(sample.instances, before.instances)
        assert [done["operation"] for done in sample.metadata["edits"]] == ["prototype", "blend"]  # type: ignore
        pure = (in_blocks(before.label == SKY) & in_blocks(before.instances == 0)).all(axis=(1, 3))  # type: ignore
        assert (sample.layout != before.layout).any(axis=0)[pure].all()


def test_other_splits_and_samples_without_label_are_passed_on(tmp_path: Path) -> None:
    samples = [street(key) for key in (*TRAIN, *VAL)]
    samples[0] = street(TRAIN[0], labelled=False)
    source = write(tmp_path, samples)
    found = read(edited_source(tmp_path / "edits", source, (*TRAIN, *VAL), paste=PASTE), (*TRAIN, *VAL))
    for key in (TRAIN[0], *VAL):
        assert "edits" not in found[key].metadata and np.array_equal(found[key].layout, street(key).layout)
    assert {done.get("donor") for key in TRAIN[1:] for done in found[key].metadata["edits"]} <= {*TRAIN[1:], None}  # type: ignore


def test_sample_whose_donor_does_not_read_is_a_failure_and_not_lost(tmp_path: Path) -> None:
    source = write(tmp_path, [street(key) for key in TRAIN[:2]])
    edited = edited_source(tmp_path / "edits", source, TRAIN[:2], paste={"classes": ["car"]})
    reader = SampleReader(Store.open(str(tmp_path / "real")))
    [tar] = (tmp_path / "real" / "shards").glob("train-000001*")
    offset = reader.index["label.png:offset"].to_pylist()[reader.keys.index(TRAIN[1])]
    data = bytearray(tar.read_bytes())
    data[offset : offset + 8] = bytes(8)
    tar.write_bytes(data)
    [failed] = edited.read(WorkUnit("unit", TRAIN[:1], {"variant": 0}))
    assert isinstance(failed, Failed) and failed.key == TRAIN[0]
    assert failed.reason.startswith("unreadable donor: ") and TRAIN[1] in failed.reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paste": {"classes": ["car"], "min_area": 5000}}, "no 'car' of train has min_area=5000 pixels"),
        ({"paste": {"classes": ["pole"], "min_area": 8}}, "covers 0.5 of a layout cell"),
        ({"prototype": {"classes": ["pole"]}}, "'pole' fills half of no layout cell of 'train'"),
        ({"remove": {"classes": ["car"]}, "splits": ["test"]}, "'car' is in no label of test"),
    ],
)
def test_class_that_never_occurs_as_needed_is_refused(
    source: PairedSource, tmp_path: Path, options: dict[str, object], message: str
) -> None:

    with pytest.raises(UserError, match=message):
        edited_source(tmp_path / "edits", source, TRAIN, **options)


def test_scene_of_a_sample_is_the_sample() -> None:
    sample = street(TRAIN[0])
    scene = scene_of(sample, 255)
    assert scene.layout is sample.layout and scene.label is sample.label and scene.sources == (TRAIN[0],)


def test_class_means_of_no_labelled_image_are_refused() -> None:
    options = EditOptions.model_validate({"remove": {"classes": ["car"], "fill": "prototype"}, "splits": ["val"]})
    survey = Survey([], [], {"val": np.ones(len(CLASSES), np.int64)}, None)
    with pytest.raises(UserError, match="no image of 'train' has a label, so there are no class means"):
        survey.require_useful(options, CLASSES)
