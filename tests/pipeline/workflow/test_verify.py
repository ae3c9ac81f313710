"""Verify says what it looked at, what it did not, and every fault of stores and artifacts."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.store import CorruptStore, Store
from pipeline.workflow.verify import verify
from pipeline.workspace.artifact import Artifact, read_record
from tests.pipeline.store.samples import camvid_like, manifest


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """A workspace with a store, half of another, two artifacts and a folder that nobody vouches for."""
    real = Store.create(str(tmp_path / "real"), manifest())
    real.note_asked(["train-000000"])
    real.write_shard("train-000000", camvid_like(["a", "b"]))
    real.note_made()
    layouts = Store.create(str(tmp_path / "layouts"), manifest())
    layouts.note_asked(["train-000000", "train-000001", "train-000002"])
    layouts.write_shard("train-000001", camvid_like(["a"]))
    with Artifact(tmp_path / "scenes", "scenes", {"seed": 0}).building(
        {"mean": math.nan, "by_k": {2: 1, 10: 2}}
    ) as folder:
        (folder / "images").mkdir()
        (folder / "images/0.png").write_bytes(b"one scene")
        (folder / "images/1.png").write_bytes(b"another")
    with Artifact(tmp_path / "basis", "basis", {}).building() as folder:
        (folder / "own.json").write_bytes(b"a basis")
    with Artifact(tmp_path / "evaluation.parquet", "evaluation", {}).building() as file:
        file.write_bytes(b"a table")
    (tmp_path / "runs").mkdir()
    return tmp_path


def test_it_says_what_was_checked_and_what_was_not(space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["verify", str(space)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "real: 1 shards, 2 samples",
        "layouts: 1 shards, 1 samples; 2 of 3 shards are not made yet",
        "scenes: 2 files",
        "basis: 1 files",
        "evaluation.parquet: 1 files",
        "not checked: runs",
        "no fault",
    ]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def drop_digest(path: Path) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "digest": "0" * 64}))


@pytest.mark.parametrize(
    ("name", "damage", "expected"),
    [
        ("scenes/images/0.png", flip, "images/0.png has changed"),
        ("scenes/images/1.png", Path.unlink, "images/1.png is missing"),
        ("scenes/images/2.png", lambda path: path.write_bytes(b""), "images/2.png is not in the record"),
        ("basis/artifact.json", Path.unlink, "basis: no record"),
        ("scenes/artifact.json", lambda path: path.write_text("{"), "artifact.json: not a record"),
        ("scenes/artifact.json", drop_digest, "artifact.json: the record does not match its own seal"),
        ("evaluation.parquet", flip, "evaluation.parquet has changed"),
        ("evaluation.parquet", Path.unlink, "evaluation.parquet is missing"),
        ("evaluation.json", drop_digest, "evaluation.json: the record does not match its own seal"),
        ("real/done/train-000000.json", Path.unlink, "real: done/train-000000.json: missing"),
        ("real/shards/train-000000.tar", flip, "real: shards/train-000000.tar: sha256 differs"),
    ],
)
def test_each_fault_is_one_line_and_exit_1(
    space: Path, name: str, damage: Callable[[Path], None], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(space / name)
    assert guarded(["verify", str(space)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert expected in lines[0]
    assert lines[-1] == "1 fault"


def test_scenes_of_somebody_else_are_not_checked_and_no_fault(space: Path) -> None:
    (space / "scenes/artifact.json").unlink()
    found = verify(str(space))
    assert (found.faults, found.unchecked) == ([], ["runs", "scenes"])


def test_a_record_that_was_changed_is_not_built_upon(space: Path) -> None:
    drop_digest(space / "scenes/artifact.json")
    with pytest.raises(CorruptStore, match="remove the artifact, and the next run makes it again"):
        read_record(space / "scenes")


def test_a_folder_of_something_else_is_a_users_mistake(space: Path) -> None:
    for name in ("real", "layouts", "scenes", "basis"):
        shutil.rmtree(space / name)
    for name in ("evaluation.parquet", "evaluation.json"):
        (space / name).unlink()
    with pytest.raises(UserError, match="is neither a store"):
        verify(str(space))


@pytest.mark.parametrize("text", ["a: [", "- a", "\x00"])
def test_a_damaged_configuration_is_reported_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml is damaged: "):
        verify(str(tmp_path))
