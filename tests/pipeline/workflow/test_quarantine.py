"""Every sample that failed is listed with its whole reason, and one of them is named where failures are counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import guarded
from pipeline.store import Failure, Manifest, Sample, Store
from tests.pipeline.datasets.trees import random_image, save

SIZE = (32, 64)


def folder(root: Path) -> Path:
    """A plain folder of thirty and two images, of which two training masks have a value of no class."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 30), ("val", 2)):
        for number in range(count):
            save(root / "images" / split / f"{number:02d}.png", random_image(rng, *SIZE))
            mask = rng.integers(0, 2, SIZE, np.uint8)
            mask[0, 0] = 7 if split == "train" and number in (4, 21) else 0
            save(root / "masks" / split / f"{number:02d}.png", mask)
    (root / "classes.txt").write_text("even\nodd\n")
    return root


def arguments(root: Path, space: Path, *more: str) -> list[str]:
    # Without an evaluation no segmenter is looked at, which takes longer than all the rest.
    settings = ["geometry={height: 32, width: 64}", "shard.samples_per_shard=8", "evaluate.split=null"]
    place = [f"dataset.root={root}", "--workspace", str(space), "--executor", "serial", "--until", "shard"]
    return ["own", *place, *settings, *more]


@pytest.mark.parametrize("place", ["here", "in a bucket"])
def test_quarantined_samples_are_listed_and_one_is_named_by_run_and_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest, place: str
) -> None:
    root, space = folder(tmp_path / "data"), tmp_path / "my space"
    stores = [f"stores={request.getfixturevalue('bucket')}/run"] if place == "in a bucket" else []
    assert guarded(["run", *arguments(root, space, *stores)]) == 0
    rows = Store.open(f"{stores[0].split('=')[1] if stores else space}/real").quarantine().to_pylist()
    reasons = {row["key"]: row["reason"] for row in rows}
    assert list(reasons) == ["train_04", "train_21"]
    assert reasons["train_04"].startswith(f"unknown label id: {root}/masks/train/04.png has ids [7] (1 pixels): ")
    whole = f"2 quarantined (2 x unknown label id), such as train_04: {reasons['train_04']}"
    remedy = f"lumen quarantine '{space}' --stage shard lists them all; fix the cause, then lumen retry '{space}' shard"
    assert f"{whole}; {remedy} [" in capsys.readouterr().out
    assert guarded(["status", str(space)]) == 0
    assert f"shard: {whole}; {remedy}" in capsys.readouterr().out.splitlines()
    assert guarded(["status", str(space), "--json"]) == 0
    failure = json.loads(capsys.readouterr().out)[0]["failure"]
    assert (failure["key"], failure["reason"]) == ("train_04", reasons["train_04"])

    assert guarded(["quarantine", str(space)]) == 0
    *listed, last = capsys.readouterr().out.splitlines()
    assert [line.removeprefix("shard").strip() for line in listed] == [f"{key}: {reasons[key]}" for key in reasons]
    assert last == f"shard: 2 quarantined (2 x unknown label id); fix the cause, then lumen retry '{space}' shard"
    assert guarded(["quarantine", str(space), "--stage", "shard", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["key"]: row["reason"] for row in rows} == reasons
    assert {(row["stage"], row["kind"]) for row in rows} == {("shard", "unknown label id")}
    assert all("RecordError" in row["traceback"] for row in rows)

    for key in ("04", "21"):
        save(root / "masks" / "train" / f"{key}.png", np.zeros(SIZE, np.uint8))
    assert guarded(["retry", str(space), "shard"]) == 0
    capsys.readouterr()
    assert guarded(["quarantine", str(space)]) == 0
    assert capsys.readouterr().out == "nothing is in quarantine\n"
    assert guarded(["quarantine", str(space), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_stages_are_listed_in_their_order_or_one_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, stage in (("synthetic", "generate"), ("real", "shard")):
        store = Store.create(str(tmp_path / name), Manifest(name, None, {}, {}))
        store.write_shard("train-000000", [Sample("b")], [Failure("a", stage, f"odd {stage}: a: b", "Traceback")])
    assert guarded(["quarantine", str(tmp_path)]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:3] for line in shown[:2]] == [["shard", "a:", "odd"], ["generate", "a:", "odd"]]
    assert guarded(["quarantine", str(tmp_path), "--stage", "generate"]) == 0
    assert "odd shard" not in capsys.readouterr().out
    assert guarded(["quarantine", str(tmp_path), "--stage", "curate"]) == 0
    assert capsys.readouterr().out == "nothing is in quarantine\n"


@pytest.mark.parametrize(
    ("stage", "expected"), [("fit", "writes no store and has no quarantine"), ("shard", "is not a workspace")]
)
def test_a_quarantine_that_cannot_be_is_the_users_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str, expected: str
) -> None:
    assert guarded(["quarantine", str(tmp_path / "nowhere"), "--stage", stage]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1


def test_a_run_over_the_error_budget_ends_with_a_whole_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, space = folder(tmp_path / "data"), tmp_path / "space"
    # More images than masks are at fault, so that a look at masks cannot tell.
    for number in range(12):
        path = root / "images" / "train" / f"{number:02d}.png"
        path.write_bytes(path.read_bytes()[:100])
    assert guarded(["run", *arguments(root, space)]) == 1
    message = capsys.readouterr().err
    assert "over the budget" in message
    assert f"such as train_00: truncated image: {root}/images/train/00.png" in message
    assert f"lumen quarantine {space} --stage shard lists them all" in message
    assert message.count("\n") == 1


def test_the_example_is_of_the_commonest_kind(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"), Manifest("real", None, {}, {}))
    assert store.example_failure() is None
    store.write_shard("train-000000", [Sample("a")], [Failure("b", "shard", "rare: once")])
    assert str(store.example_failure()) == "b: rare: once"
    common = [Failure(key, "shard", f"common: {key}") for key in "cd"]
    store.write_shard(
        "train-000001", [], [Failure("e", "shard", "rare: twice"), *common, Failure("f", "shard", "common")]
    )
    assert str(store.example_failure()) == "c: common: c"
