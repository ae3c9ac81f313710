"""A workspace records when, with what and on what it was made, and how long each stage took."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.compose import load_config
from pipeline.workflow.session import SESSIONS, Session, read_sessions


def test_each_run_adds_what_it_did_at_once(tmp_path: Path) -> None:
    config = load_config("quickstart", [f"workspace={tmp_path}", "cluster.executor=serial"])
    assert read_sessions(tmp_path / SESSIONS) == []
    first = Session(config)
    first.add("shard", 1.24)
    first.add("fit", 2.0)
    Session(config).add("extract", 3.0)
    before, last = read_sessions(tmp_path / SESSIONS)
    assert (before["seconds"], last["seconds"]) == ({"shard": 1.2, "fit": 2.0}, {"extract": 3.0})
    assert {"date", "lumen", "commit", "versions", "machine"} <= set(last)
    assert last["versions"]["torch"] and "CPU cores" in last["machine"]
