"""Plan, run and inspect all refuse labels without anything to learn, before any work."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from augment.errors import UserError
from pipeline.checks.labels import LabelCheck
from pipeline.cli import guarded
from pipeline.config.compose import load_config
from pipeline.stages.images import RealImages
from pipeline.workspace.workspace import Workspace
from tests.conftest import REPOSITORY
from tests.pipeline.datasets.trees import random_image, save

SHAPE = (16, 24)


def folder(root: Path, classes: str, masks: dict[str, Sequence[Sequence[int]]], file: str = "classes.txt") -> Path:
    """A plain folder with an image and a mask for each list of values, which the mask holds in equal parts."""
    rng = np.random.default_rng(0)
    for split, of_split in masks.items():
        for number, values in enumerate(of_split):
            save(root / "images" / split / f"{number:04d}.png", random_image(rng, *SHAPE))
            mask = np.resize(np.asarray(values, np.uint8), SHAPE)
            save(root / "masks" / split / f"{number:04d}.png", mask)
    (root / file).write_text(classes)
    return root


def looked_at(root: Path, *overrides: str) -> list[str]:
    """The remarks of the label check on a folder; raises UserError as a run would."""
    config = load_config(
        "own", [f"dataset.root={root}", f"workspace={root / 'space'}", "cluster.executor=serial", *overrides]
    )
    budget = config.error_budget
    return LabelCheck(RealImages(config, Workspace.of(config)), budget, config.evaluate.split, trains=True).run()


def refused(root: Path, space: Path, capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    """The message of plan and run for a folder that they refuse: the same line, before anything is written."""
    said = []
    for command in ("plan", "run"):
        assert guarded([command, "own", f"dataset.root={root}", "--workspace", str(space), *overrides]) == 2
        shown = capsys.readouterr()
        assert shown.err.count("\n") == 1
        assert shown.out == ""
        said.append(shown.err.removeprefix(f"lumen {command}: "))
    assert not space.exists()
    assert said[0] == said[1]
    return said[0]


def inspected(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = guarded(["inspect", "folder", str(root), *arguments])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("classes", "values", "absent"),
    [
        ("background\nobject\n", [0, 255], "'object' (1)"),
        ("void\nbackground\n", [1, 255], "'void' (0)"),
        ("background\ncat\ndog\n", [0, 255], "'cat' (1), 'dog' (2)"),
        ("background\ncat\ndog\n", [0, 1, 255], "'dog' (2)"),
    ],
)
def test_a_class_whose_value_may_be_255_is_refused_with_the_values_found_and_both_remedies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], classes: str, values: list[int], absent: str
) -> None:
    root = folder(tmp_path / "data", classes, {"train": [values] * 4, "val": [values] * 2})
    message = refused(root, tmp_path / "space", capsys)
    *known, last = values
    name = classes.split()[-1] if "void" not in classes else "void"
    assert f"have the values {', '.join(map(str, known))} and {last}" in message
    assert f"shows {absent}, and 255 is ignored" in message
    assert "6 masks checked (4 of 4 of train, 2 of 2 of val)" in message
    assert f"255,{name}; if it is no class, set dataset.folder.ignore_index=255" in message
    code, text = inspected(root, capsys)
    assert code == 1
    assert message.removeprefix("dataset: ").strip() in text


def test_it_is_refused_where_no_segmenter_is_trained_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks = {"train": [[0, 255]] * 2, "val": [[0, 255]]}
    root = folder(tmp_path / "data", "background\nobject\n", masks)
    for overrides in (["evaluate.split=null"], ["--until", "shard"]):
        code = guarded(["run", "own", f"dataset.root={root}", "--workspace", str(tmp_path / "space"), *overrides])
        assert code == 2
        assert "'object' (1)" in capsys.readouterr().err


def test_255_that_is_declared_to_be_no_class_is_accepted(tmp_path: Path) -> None:
    masks = {"train": [[0, 1, 255]] * 2, "val": [[0, 1, 255]]}
    root = folder(tmp_path / "data", "background\ncat\ndog\n", masks)
    [remark] = looked_at(root, "dataset.folder={ignore_index: 255}")
    assert remark == ("labels: 1 of 3 classes are in none of the 3 masks checked (2 of 2 of train, 1 of 1 of val): dog")
    (root / "classes.txt").unlink()
    (root / "classes.json").write_text(json.dumps({"classes": ["background", "cat", "dog"], "ignore_index": 255}))
    assert looked_at(root) == [remark]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(4, 30),
    present=st.sets(st.integers(0, 29), min_size=2),
    ignored=st.booleans(),
    data=st.data(),
)
def test_classes_missing_in_a_small_part_of_a_set_are_reported_and_not_refused(
    tmp_path_factory: pytest.TempPathFactory, count: int, present: set[int], ignored: bool, data: st.DataObject
) -> None:
    shown = sorted(value for value in present if value < count)
    if len(shown) < 2 or shown == list(range(count - 1)):
        shown = [0, count - 1]
    # Each mask shows a part of them, and together they show all.
    parts = [data.draw(st.sets(st.sampled_from(shown), min_size=1)) for _ in range(3)]
    masks = [sorted(part) + [255] * ignored for part in (*parts, shown)]
    classes = "".join(f"class {number}\n" for number in range(count))
    root = folder(tmp_path_factory.mktemp("set"), classes, {"train": masks, "val": [masks[0]]})
    absent = count - len(shown)
    remarks = looked_at(root)
    assert len(remarks) == bool(absent)
    assert not absent or remarks[0].startswith(f"labels: {absent} of {count} classes are in none of the 5 masks")


def test_a_limit_may_leave_the_last_class_out(tmp_path: Path) -> None:
    masks = {"train": [[0, 1, 255], [0, 1, 2, 255]], "val": [[0, 1, 2]]}
    root = folder(tmp_path / "data", "a\nb\nc\n", masks)
    assert looked_at(root) == []
    assert len(looked_at(root, "dataset.limit={train: 1}", "dataset.splits=[train, val]")) == 0
    (root / "masks" / "val" / "0000.png").unlink()
    save(root / "masks" / "val" / "0000.png", np.resize(np.asarray([0, 1], np.uint8), SHAPE))
    assert "1 of 3 classes" in looked_at(root, "dataset.limit={train: 1}")[0]


@pytest.mark.parametrize(
    ("masks", "overrides"),
    [
        ({"train": [[0, 1, 255]] * 4, "val": [[0, 1, 255]] * 2, "test": [[0, 1, 255]] * 2}, []),
        ({"train": [[0, 1, 255]] * 4, "val": [[0, 1, 255]] * 2}, ["dataset.limit={train: 3}"]),
        ({"train": [[0, 1, 255]] * 9}, ["dataset.held_out={share: 0.3}"]),
    ],
)
def test_masks_that_a_run_does_not_use_are_checked_too_if_255_may_be_the_last_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], masks: dict[str, Sequence[Sequence[int]]], overrides: list[str]
) -> None:
    root = folder(tmp_path / "data", "a\nb\nc\n", masks)
    message = refused(root, tmp_path / "space", capsys, *overrides)
    assert "have the values 0, 1 and 255" in message
    assert f"the {sum(map(len, masks.values()))} masks checked" in message
    # A mask with the class shows that 255 is something else.
    split = sorted(masks)[-1]
    path = max((root / "masks" / split).iterdir())
    save(path, np.resize(np.asarray([0, 1, 2], np.uint8), SHAPE))
    looked_at(root, *overrides)


def test_255_with_several_absent_classes_is_reported_by_run_and_inspect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = {"train": [[0, 1, 3, 255]] * 4, "val": [[0, 1, 3, 255]] * 2}
    root = folder(tmp_path / "data", "a\nb\nc\nd\nobj\n", masks)
    [remark] = looked_at(root)
    advice = "If 255 is 'obj', give the ids in a classes.csv"
    assert advice in remark
    assert "set dataset.folder.ignore_index=255" in remark
    code, text = inspected(root, capsys)
    assert code == 0
    assert advice in text
    assert advice not in looked_at(root, "dataset.folder={ignore_index: 255}")[0]


@pytest.mark.parametrize(
    ("classes", "train", "expected"),
    [
        ("road\n", [0, 255], "show only one class in the 3 masks checked (3 of 3 of train), 'road', and 255"),
        ("sky\nroad\n", [1], "show only one class in the 3 masks checked (3 of 3 of train), 'road'"),
        ("sky\nroad\nbox\n", [255], "no pixel of 'train' has a class in the 3 masks checked (3 of 3 of train)"),
    ],
)
def test_a_training_split_with_nothing_to_learn_is_refused_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], classes: str, train: list[int], expected: str
) -> None:
    val = [0, 1] if "sky" in classes else [0, 255]
    root = folder(tmp_path / "data", classes, {"train": [train] * 3, "val": [val] * 2})
    message = refused(root, tmp_path / "space", capsys)
    assert expected in message
    assert "evaluate.split=null" in message
    code, text = inspected(root, capsys)
    assert code == 1
    assert expected in text
    # Images can be generated from such a set if no stage trains on its labels.
    looked_at(root, "evaluate.split=null", "dataset.folder={ignore_index: 255}")


def test_an_evaluation_split_without_a_labelled_pixel_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", "sky\nroad\n", {"train": [[0, 1]] * 2, "val": [[255]] * 2})
    with pytest.raises(UserError, match=r"no pixel of 'val' has a class"):
        looked_at(root)


def test_one_labelled_mask_among_many_is_found(tmp_path: Path) -> None:
    train: list[list[int]] = [[255]] * 70
    train[61] = [0, 1]
    root = folder(tmp_path / "data", "sky\nroad\n", {"train": train, "val": [[0, 1]]})
    assert looked_at(root) == []


def test_masks_with_wrong_ids_are_refused_with_the_sentence_that_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder(tmp_path / "data", "sky\nroad\n", {"train": [[1, 2]] * 5, "val": [[0, 1]] * 2})
    message = refused(root, tmp_path / "space", capsys)
    assert "no label could be read in the 5 masks of 'train' checked (it has 5), such as train_0000: " in message
    mask = root / "masks" / "train" / "0000.png"
    assert f"unknown label id: {mask} has ids [2] (192 pixels): expected 0..1, 255" in message
    code, text = inspected(root, capsys)
    assert code == 1
    assert "5 x unknown label id" in text


def test_more_bad_masks_than_a_run_allows_are_refused(tmp_path: Path) -> None:
    few: list[list[int]] = [[0, 1]] * 20
    few[3] = few[7] = [0, 9]
    root = folder(tmp_path / "data", "sky\nroad\n", {"train": few, "val": [[0, 1]]})
    [remark] = looked_at(root)
    assert "2 of the 20 masks of 'train' checked (it has 20) could not be read, such as train_000" in remark
    with pytest.raises(UserError, match=r"2 of the 20 masks of 'train'.*has ids \[9\]"):
        looked_at(root, "error_budget={rate: 0.0, minimum: 1}")


def test_images_of_which_none_fits_its_mask_are_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", "sky\nroad\n", {"train": [[0, 1]] * 3, "val": [[0, 1]]})
    for path in (root / "images" / "train").iterdir():
        save(path, random_image(np.random.default_rng(0), 32, 32))
    with pytest.raises(UserError, match=r"none of 3 images of 'train' can be used, such as train_000\d: size mismatch"):
        looked_at(root)
    save(root / "images" / "train" / "0001.png", random_image(np.random.default_rng(0), *SHAPE))
    looked_at(root)


def polygons(root: Path) -> Path:
    """A folder in COCO's format with polygons of one category."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        images, objects = [], []
        for number in range(1, 3):
            save(root / split / f"{number}.png", random_image(rng, *SHAPE))
            images.append({"id": number, "file_name": f"{number}.png", "height": SHAPE[0], "width": SHAPE[1]})
            box = {"bbox": [2, 2, 8, 8], "area": 64, "iscrowd": 0, "segmentation": [[2, 2, 10, 2, 10, 10, 2, 10]]}
            objects.append({"id": number, "image_id": number, "category_id": 1, **box})
        content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "box"}]}
        path = root / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return root


def test_polygons_of_one_category_are_sharded_and_refused_where_a_segmenter_would_train_on_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = polygons(tmp_path / "set")
    command = ("own", "dataset=coco", f"dataset.root={root}", "--executor", "serial")
    assert guarded(["inspect", "coco", str(root)]) == 0
    assert "for training: the pixels of 'train' show only one class" in capsys.readouterr().out
    assert guarded(["run", *command, "--workspace", str(tmp_path / "space"), "--until", "shard"]) == 0
    for done in ("store", "nothing"):
        space = tmp_path / "space" if done == "store" else tmp_path / "elsewhere"
        assert guarded(["plan", *command, "--workspace", str(space)]) == 2
        assert "nothing to tell apart; set dataset.coco.background=background" in capsys.readouterr().err
    assert guarded(["plan", *command, "--workspace", str(tmp_path / "new"), "dataset.coco.background=background"]) == 0


@pytest.fixture(scope="session")
def cases() -> Path:
    """The shared inputs: LUMEN_CASES, or ../shared/cases beside the repository."""
    root = Path(os.environ.get("LUMEN_CASES") or REPOSITORY.parent / "shared" / "cases")
    if not root.is_dir():
        pytest.skip(f"no cases at {root}; set LUMEN_CASES to their folder")
    return root


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("binary_0_255", "values 0 and 255"),
        ("single_class", "only one class"),
        ("all_ignored_some", "no pixel of 'train' has a class"),
    ],
)
def test_shared_case_is_refused(cases: Path, case: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        looked_at(cases / case, f"workspace={cases / 'nowhere'}")


def test_255_with_a_stated_name_is_a_class_or_refused(cases: Path) -> None:
    try:
        assert looked_at(cases / "binary_csv_255", f"workspace={cases / 'nowhere'}") == []
    except UserError as error:
        assert "\n" not in str(error)


def test_images_that_exif_turns_in_place_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder(tmp_path, "a\nb\n", {"train": [[0, 1]] * 3, "val": [[0, 1]]})
    assert looked_at(root) == []
    path = root / "images/train/0001.png"
    with Image.open(path) as image:
        image.getexif()[0x0112] = 3
        image.save(path.with_suffix(".jpg"), exif=image.getexif())
    path.unlink()
    said = "EXIF mirrors or turns 1 of 3 labelled images of 'train', such as images/train/0001.jpg"
    [remark] = looked_at(root)
    assert said in remark
    code, text = inspected(root, capsys)
    assert code == 0
    assert said in text
