"""An edit never leaves a pixel whose label or object disagrees with the layout cell that it is in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import NotFinite, UserError
from augment.layouts import editing
from augment.layouts.copying import copy_cells
from augment.layouts.objects import find_scene_object, find_scene_objects, instance_boxes
from augment.layouts.prototypes import ClassPrototypes
from augment.layouts.scene import PROTOTYPE, Scene, cells_of, in_blocks, pixels_of

CLASSES, COMPONENTS, GRID = 4, 3, (4, 6)
SIZE = 8 * GRID[0], 8 * GRID[1]


def scene(key: str, seed: int, dtype: type = np.uint8, *, instances: bool = True) -> Scene:
    """Random rectangles of classes, some of them ignored and some of them objects, at no multiple of 8."""
    rng = np.random.default_rng([seed, *key.encode()])
    ignored = np.iinfo(dtype).max
    label = np.full(SIZE, rng.integers(CLASSES), dtype)
    objects = np.zeros(SIZE, np.uint16)
    for number in range(1, 7):
        top, left = rng.integers(0, SIZE[0] - 8), rng.integers(0, SIZE[1] - 8)
        place = slice(top, top + rng.integers(3, 20)), slice(left, left + rng.integers(3, 24))
        label[place] = rng.choice([*range(CLASSES), ignored])
        objects[place] = number * 7 if rng.random() < 0.7 else 0
    layout = rng.normal(size=(COMPONENTS, *GRID)).astype(np.float16)
    return Scene.of(key, layout, label, objects if instances else None, int(ignored))


def prototypes(dtype: type = np.uint8) -> ClassPrototypes:
    parts = [scene(key, 0, dtype) for key in "pqrstuvw"]
    return ClassPrototypes.merged(ClassPrototypes.of(one.layout, one.label, CLASSES) for one in parts)


PROTOTYPES = {dtype: prototypes(dtype) for dtype in (np.uint8, np.uint16)}


def check(edited: Scene, originals: Mapping[str, Scene], means: ClassPrototypes) -> None:
    """Every cell is the one that its origin names, with all its pixels; every instance is of one object."""
    owners: dict[int, tuple[str, int]] = {}
    for row, column in np.ndindex(edited.grid):
        source, down, across = edited.origin[row, column].tolist()
        vector = edited.layout[:, row, column]
        label = None if edited.label is None else in_blocks(edited.label)[row, :, column]
        instances = None if edited.instances is None else in_blocks(edited.instances)[row, :, column]
        if source == PROTOTYPE:
            assert edited.mixed[row, column] or (vector == means.of_class(down)[across]).all()
            assert label is None or (label == down).all()
            assert instances is None or not instances.any()
            continue
        origin = originals[edited.sources[source]]
        assert edited.mixed[row, column] or (vector == origin.layout[:, down, across]).all()
        if label is not None:
            assert (label == in_blocks(origin.label)[down, :, across]).all()  # type: ignore[arg-type]
        if instances is not None:
            before = in_blocks(origin.instances)[down, :, across]  # type: ignore[arg-type]
            assert ((before == 0) == (instances == 0)).all()
            for new, old in zip(instances[before > 0].tolist(), before[before > 0].tolist(), strict=True):
                assert owners.setdefault(new, (edited.sources[source], old)) == (edited.sources[source], old)
    for box in instance_boxes(edited):
        rows, columns = np.nonzero(edited.instances == box.instance)
        assert (box.left, box.top) == (columns.min(), rows.min())
        assert (box.left + box.width, box.top + box.height) == (columns.max() + 1, rows.max() + 1)


OPERATIONS = st.sampled_from(["paste", "move", "remove", "remove by prototype", "blend", "replace"])
EDITS = st.lists(st.tuples(OPERATIONS, st.integers(0, 9), st.integers(-5, 5), st.integers(-2, 2)), max_size=5)


def edited_by(
    name: str, target: Scene, donor: Scene, means: ClassPrototypes, which: int, shift: tuple[int, int]
) -> Scene:
    """The scene after one edit; the scene itself where the edit is refused."""
    owner = donor if name == "paste" else target
    found = find_scene_objects(owner, range(CLASSES)) if owner.label is not None else []
    box = np.zeros(SIZE, np.bool_)
    box[which : which + 12, 2 * which : 2 * which + 17] = True
    mask = found[which % len(found)].mask if found else box
    right, down = 8 * shift[0], 8 * shift[1]
    try:
        match name:
            case "paste":
                return editing.paste(target, donor, mask, right, down)
            case "move":
                return editing.move(target, mask, right, down)
            case "remove":
                return editing.remove(target, mask)
            case "remove by prototype":
                return editing.remove(target, mask, means)
            case "blend":
                return editing.blend(target, donor, which / 9)
            case _:
                return editing.replace_class(target, which % CLASSES, means)
    except UserError:
        return target


@given(st.integers(0, 99), EDITS, st.sampled_from([np.uint8, np.uint16]), st.booleans(), st.booleans())
def test_every_cell_has_one_source_after_any_edits(
    seed: int, edits: list[tuple[str, int, int, int]], dtype: type, instances: bool, labelled: bool
) -> None:
    originals = {key: scene(key, seed, dtype, instances=instances) for key in "ab"}
    if not labelled:
        originals = {key: Scene.of(key, one.layout) for key, one in originals.items()}
    target, donor = originals["a"], originals["b"]
    copies = [one.layout.copy() for one in (target, donor)]
    for name, which, right, down in edits:
        target = edited_by(name, target, donor, PROTOTYPES[dtype], which, (right, down))
        check(target, originals, PROTOTYPES[dtype])
        assert target.label is None or target.label.dtype == dtype
        # The next donor is a scene that was edited before, as often as not.
        donor = target if which % 2 else originals["b"]
    for before, one in zip(copies, originals.values(), strict=True):
        assert (before == one.layout).all(), "an edit changes no scene that it is given"


@given(st.integers(0, 200), st.booleans())
def test_no_pixel_of_a_removed_object_is_left(seed: int, by_prototype: bool) -> None:
    before = scene("a", seed)
    for one in find_scene_objects(before, range(CLASSES)):
        try:
            after = editing.remove(before, one.mask, PROTOTYPES[np.uint8] if by_prototype else None)
        except UserError as error:
            assert "is left to fill" in str(error)
            continue
        assert after.label is not None and after.instances is not None
        filled = pixels_of(cells_of(one.mask, 0.0))
        assert (after.label[filled] != one.train_id).all()
        assert not after.instances[filled].any()
        assert one.number not in {box.instance for box in instance_boxes(after)}
        assert (after.label[~filled] == before.label[~filled]).all()  # type: ignore[index]
        assert (after.changes(before) <= cells_of(one.mask, 0.0)).all()


@given(st.integers(0, 200), st.integers(-3, 3))
def test_an_object_that_moves_there_and_back_is_where_it_was(seed: int, columns: int) -> None:
    before = scene("a", seed)
    objects = [one for one in find_scene_objects(before, range(CLASSES)) if cells_of(one.mask, 0.5).any()]
    for one in objects:
        cells = cells_of(one.mask, 0.5)
        inside = np.flatnonzero(cells.any(axis=0)) + columns
        if inside.min() < 0 or inside.max() >= GRID[1]:
            continue
        try:
            there = editing.move(before, one.mask, 8 * columns)
            moved = pixels_of(np.roll(cells, columns, axis=1))
            back = editing.move(there, moved, -8 * columns)
        except UserError:
            continue
        assert (back.layout[:, cells] == before.layout[:, cells]).all()
        assert (back.origin[cells] == before.origin[cells]).all()
        kept = pixels_of(cells) & one.mask
        assert (back.label[kept] == before.label[kept]).all()  # type: ignore[index]
        if one.number > 0:
            assert (back.instances[kept] == one.number).all()  # type: ignore[index]


@given(st.integers(0, 200))
def test_edits_that_change_nothing_give_the_scene_back(seed: int) -> None:
    before = scene("a", seed)
    same = [editing.blend(before, scene("b", seed), 0.0)]
    same += [copy_cells(before, before, np.ones(GRID, np.bool_), 0, GRID[1])]
    whole = np.ones(SIZE, np.bool_)
    same += [editing.paste(before, before, whole)]
    for after in same:
        assert (after.layout == before.layout).all()
        assert (after.label == before.label).all()
        assert (after.origin == before.origin).all()
    # The whole scene on itself: other numbers, the same objects.
    assert ((same[-1].instances > 0) == (before.instances > 0)).all()  # type: ignore[operator]
    assert len(instance_boxes(same[-1])) == len(instance_boxes(before))


@given(st.integers(0, 200))
def test_a_blend_mixes_only_cells_in_which_both_labels_are_the_same(seed: int) -> None:
    one, other = scene("a", seed), scene("b", seed)
    after = editing.blend(one, other, 0.25)
    assert (after.label == one.label).all() and (after.instances == one.instances).all()
    for row, column in np.ndindex(GRID):
        places = [in_blocks(plane)[row, :, column] for plane in (one.label, other.label)]  # type: ignore[arg-type]
        objects = [in_blocks(plane)[row, :, column].any() for plane in (one.instances, other.instances)]  # type: ignore
        agree = (places[0] == places[1]).all() and not (places[0] == 255).any() and not any(objects)
        assert after.mixed[row, column] == agree
        expected = one.layout[:, row, column].astype(np.float32)
        if agree:
            expected = 0.75 * expected + 0.25 * other.layout[:, row, column].astype(np.float32)
        np.testing.assert_allclose(after.layout[:, row, column], expected, atol=2e-3)


def test_a_cell_moves_whole_where_the_object_has_half_of_it_and_stays_elsewhere() -> None:
    label = np.zeros(SIZE, np.uint8)
    donor_label = np.ones(SIZE, np.uint8)
    # Half of one cell, less than half of the next.
    donor_label[8:16, 12:19] = 2
    blank = np.zeros((COMPONENTS, *GRID), np.float16)
    target = Scene.of("a", blank, label)
    donor = Scene.of("b", blank + 1, donor_label)
    after = editing.paste(target, donor, donor_label == 2, right=16)
    assert after.label is not None
    assert np.argwhere(after.changes(target)).tolist() == [[1, 3]]
    assert (after.label[8:16, 24:28] == 1).all() and (after.label[8:16, 28:32] == 2).all()
    assert (after.layout[:, 1, 3] == 1).all() and after.layout.sum() == COMPONENTS
    with pytest.raises(UserError, match=r"covers 0\.9 of no cell of 8x8"):
        editing.paste(target, donor, donor_label == 2, cover=0.9)
    with pytest.raises(UserError, match="20 pixels is not a multiple of 8"):
        editing.paste(target, donor, donor_label == 2, right=20)
    with pytest.raises(UserError, match="no cell of the object of b is visible"):
        editing.paste(target, donor, donor_label == 2, right=800)


def test_a_removed_object_is_filled_along_its_row() -> None:
    label = np.repeat(np.arange(4, dtype=np.uint8), 8)[:, None] * np.ones((1, SIZE[1]), np.uint8)
    label[:, 16:24] = 3
    before = Scene.of("a", np.random.default_rng(0).normal(size=(COMPONENTS, *GRID)).astype(np.float16), label)
    person = np.zeros(SIZE, np.bool_)
    person[:24, 16:24] = True
    after = editing.remove(before, person)
    assert after.label is not None
    assert (after.label[:24] == label[:24, :1]).all()
    assert set(after.origin[:3, 2, 2].tolist()) <= {1, 3} and after.origin[:3, 2, 1].tolist() == [0, 1, 2]


def test_a_removed_object_is_filled_with_cells_of_one_class_where_there_are_any() -> None:
    label = np.zeros(SIZE, np.uint8)
    label[:, 8:12] = 1
    mask = np.zeros(SIZE, np.bool_)
    mask[8:24, 16:24] = True
    label[mask] = 2
    before = Scene.of("a", np.zeros((COMPONENTS, *GRID), np.float16), label)
    after = editing.remove(before, mask)
    assert after.label is not None and (after.label[mask] == 0).all()


def test_nearer_cells_stay_in_front() -> None:
    target, donor = scene("a", 1), scene("b", 1)
    front = np.zeros(GRID, np.bool_)
    front[:, 3:] = True
    after = editing.paste(target, donor, np.ones(SIZE, np.bool_), behind=front)
    assert (after.changes(target) == ~front).all()


def test_scenes_that_do_not_fit_are_refused() -> None:
    one = scene("a", 0)
    mask = np.ones(SIZE, np.bool_)
    for other, message in (
        (scene("b", 0, instances=False), "the presence of instances of a is True and that of b is False"),
        (scene("b", 0, np.uint16), "the dtype of the label of a is uint8 and that of b is uint16"),
        (Scene.of("b", one.layout[:2], one.label, one.instances), "the number of components of a is 3"),
        (Scene.of("b", one.layout), "the dtype of the label of a is uint8 and that of b is None"),
    ):
        with pytest.raises(UserError, match=message):
            editing.paste(one, other, mask)
    with pytest.raises(UserError, match=r"label uint8\[8, 8\] does not fit a layout of 4x6 cells"):
        Scene.of("c", one.layout, np.zeros((8, 8), np.uint8))
    with pytest.raises(NotFinite, match="c: its layout holds NaN"):
        Scene.of("c", np.full((3, 4, 6), np.nan, np.float16))
    with pytest.raises(UserError, match="has no label"):
        find_scene_objects(Scene.of("c", one.layout), (1,))


def test_objects_are_instances_and_connected_pixels_without_one() -> None:
    label = np.zeros(SIZE, np.uint8)
    instances = np.zeros(SIZE, np.uint16)
    label[0:8, 0:8], instances[0:8, 0:8] = 1, 300
    label[0:8, 8:16], instances[0:8, 8:16] = 1, 40
    label[20:24, 0:4] = label[24:28, 4:8] = label[20:24, 40:44] = 1
    one = Scene.of("a", np.zeros((COMPONENTS, *GRID), np.float16), label, instances)
    found = find_scene_objects(one, (1,), min_area=20)
    assert [(each.number, each.area) for each in found] == [(40, 64), (300, 64), (-1, 32)]
    assert find_scene_object(one, 1, -2).area == 16
    with pytest.raises(UserError, match="a has no object 7 of class 1"):
        find_scene_object(one, 1, 7)


@given(st.permutations(range(5)))
def test_prototypes_are_means_over_rows_in_any_order(order: list[int]) -> None:
    scenes = [scene("abcde"[index], 3) for index in order]
    parts = [ClassPrototypes.of(one.layout, one.label, CLASSES) for one in scenes]
    merged = ClassPrototypes.merged(parts)
    for train_id in range(CLASSES):
        cells = [cells_of(one.label == train_id, 0.51) for one in scenes]
        if not any(each.any() for each in cells):
            with pytest.raises(UserError, match=f"class {train_id} has no prototype"):
                merged.of_class(train_id)
            continue
        for row in range(GRID[0]):
            vectors = [one.layout[:, row, each[row]] for one, each in zip(scenes, cells, strict=True)]
            assert merged.counts[train_id, row] == sum(each.shape[1] for each in vectors)
            expected = np.concatenate(vectors, axis=1).astype(np.float64).sum(axis=1)
            np.testing.assert_allclose(merged.sums[train_id, row], expected, atol=1e-9)
        assert np.isfinite(merged.of_class(train_id)).all()


def test_saved_prototypes_are_the_same(tmp_path: Path) -> None:
    PROTOTYPES[np.uint8].save(tmp_path / "prototypes.safetensors")
    loaded = ClassPrototypes.load(tmp_path / "prototypes.safetensors")
    assert (loaded.sums == PROTOTYPES[np.uint8].sums).all() and (loaded.counts == PROTOTYPES[np.uint8].counts).all()
    with pytest.raises(UserError, match="prototypes of 4 rows and 3 components do not fit"):
        wrong = Scene.of("a", np.zeros((COMPONENTS, 2, 2), np.float16))
        editing.fill_with_class(wrong, np.ones((2, 2), np.bool_), 0, loaded)
