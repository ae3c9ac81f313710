"""A run makes each of its checks once before any work, the cheapest first, and reports the findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from augment.errors import UserError
from pipeline.checks import resources as resource_checks
from pipeline.checks.labels import LabelCheck
from pipeline.config import Config
from pipeline.stages.fit import FitStep
from pipeline.store import Store
from pipeline.workflow.run import heading, run
from pipeline.workflow.selection import Selection

Configure = Callable[..., Config]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one each time that the labels are checked; the check has something to report."""
    found: list[str] = []
    original = LabelCheck.run

    def look(self: LabelCheck) -> list[str]:
        found.append("looked")
        return [*original(self), "labels: no image has a bus"]

    monkeypatch.setattr(LabelCheck, "run", look)
    return found


def test_a_run_reports_what_it_found_in_the_labels(configure: Configure, tmp_path: Path, looks: list[str]) -> None:
    config = configure(tmp_path / "space", "dataset.render.train=1", "dataset.render.val=1")
    for redo in (None, "shard"):
        lines: list[str] = []
        run(config, Selection(until="shard", redo=redo), lines.append)  # type: ignore[arg-type]
        assert lines[0] == heading(config)
        assert "labels: no image has a bus" in lines[1:3]
    assert looks == ["looked"] * 2


def test_what_is_missing_before_the_stage_to_redo_is_found_before_anything_is_removed(
    configure: Configure, copied: Path
) -> None:
    with pytest.raises(UserError, match="was made from other inputs"):
        run(configure(copied, "geometry.height=40"), Selection(until="extract", redo="extract"), lambda _: None)
    assert Store.is_at(str(copied / "layouts"))


def test_resources_are_checked_before_the_labels(
    configure: Configure, tmp_path: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource_checks, "gpus_here", lambda: 0)
    with pytest.raises(UserError, match="this machine has no GPU"):
        run(configure(tmp_path / "space", "cluster.stages.judge.num_gpus=1"), Selection(), lambda _: None)
    assert looks == []


def test_a_base_that_is_nowhere_is_found_before_labels_and_weights_are_read(
    configure: Configure, tmp_path: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FitStep, "check_models", lambda _: pytest.fail("it reads the weights of the backbone"))
    with pytest.raises(UserError, match=r"generator.base=lumen-tinny: "):
        run(configure(tmp_path / "space", "generator.base=lumen-tinny"), Selection(), lambda _: None)
    assert looks == []
