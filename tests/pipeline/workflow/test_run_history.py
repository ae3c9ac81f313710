"""A workspace records when, with what and on what it was made, and how long each stage took."""

from __future__ import annotations

from pathlib import Path

import pytest

from augment.errors import UserError
from pipeline.config.compose import load_config
from pipeline.workflow.run_history import HISTORY, RunRecord, read_history


def test_each_run_adds_what_it_did_at_once(tmp_path: Path) -> None:
    config = load_config("quickstart", [f"workspace={tmp_path}", "cluster.executor=serial"])
    assert read_history(tmp_path / HISTORY) == []
    first = RunRecord(config)
    first.add("shard", 1.24)
    first.add("fit", 2.0)
    RunRecord(config).add("extract", 3.0)
    before, last = read_history(tmp_path / HISTORY)
    assert (before["seconds"], last["seconds"]) == ({"shard": 1.2, "fit": 2.0}, {"extract": 3.0})
    assert {"date", "lumen", "commit", "versions", "machine"} <= set(last)
    assert last["versions"]["torch"] and "CPU cores" in last["machine"]


@pytest.mark.parametrize("content", ["", "[{", "{}"])
def test_a_damaged_record_is_one_line_with_the_remedy(tmp_path: Path, content: str) -> None:
    path = tmp_path / HISTORY
    path.write_text(content)
    with pytest.raises(UserError, match=r"history\.json is damaged .*: remove it") as error:
        read_history(path)
    assert "\n" not in str(error.value)
