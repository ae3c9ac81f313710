"""A search among mixes: where it measures, that a kill loses nothing that is finished, and that compare confirms it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from augment.errors import UserError
from downstream.held_back import held_back_keys, labelled_keys
from downstream.statistics.counts import read_counts
from pipeline.config import Config
from pipeline.stages.compare import CompareStep
from pipeline.stages.job import Job
from pipeline.stages.search import SearchStep
from pipeline.store import Store
from pipeline.workflow.run import outlook, run
from pipeline.workflow.selection import Selection, select, steps_of

Configure = Callable[..., Config]
SETTINGS = (
    "downstream.iterations=4",
    "downstream.decoder_channels=8",
    "downstream.batch_size=2",
    "downstream.mixes=['real[80%]']",
    "judge.held_back=0.4",
    "search.eta=2",
    "search.real=real[80%]",
    "search.ks=[0,4]",
    "search.curation=[false]",
    "search.mixes=['real[80%]+2*synthetic[raw,verdict=good]']",
)


class Killed(BaseException):
    """Ends a run at once."""


def test_a_search_measures_on_held_back_images_and_compare_confirms_its_winner(
    copied: Path, configure: Configure
) -> None:
    config = configure(copied, *SETTINGS)
    lines: list[str] = []

    def killed(line: str) -> None:
        lines.append(line)
        if "search: rung 1 of 2" in line:
            raise Killed

    with pytest.raises(Killed):
        run(config, Selection(until="search"), killed)
    finished = {path: path.stat().st_mtime_ns for path in (copied / "search-runs").glob("*/result.json")}
    assert len(finished) == 3, "a baseline and two mixes; the third mix has no samples"

    run(config, Selection(until="compare"), lines.append)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    result = SearchStep(Job(config)).result
    assert result is not None
    assert [len(rung.entries) for rung in result.rungs] == [3, 2]
    assert "samples have no 'verdict'" in result.rungs[0].entries[-1].failed

    real = Store.open(str(copied / "real"))
    held_back = held_back_keys(labelled_keys(real, "train"), 0.4)
    for path in (copied / "search-runs").glob("*/result.json"):
        counts, request = read_counts(path.parent), json.loads(path.with_name("request.json").read_text())
        assert counts is not None and set(counts.keys) == held_back
        assert request["seed"] >= 1000 and request["splits"] == ["train", "train, held back"]

    table = pq.read_table(copied / "comparison.parquet").to_pylist()
    assert [(row["mix"], row["seed"], row["images"]) for row in table] == [
        (mix, 0, 2) for mix in ("real[80%]", result.winner)
    ]
    assert any("3 mixes in 2 rungs" in line and "7 trainings of 20 iterations" in line for line in lines)
    # Nothing is left to do, and nothing is done again.
    standings, _ = outlook(config, select(steps_of(config), Selection(until="compare")))
    assert all(standing.done for standing in standings)


def test_before_it_is_known_which_mix_wins_compare_counts_it(configure: Configure, tmp_path: Path) -> None:
    config = configure(tmp_path, *SETTINGS, "downstream.seeds=[0,1,2]", "downstream.mixes=[real]")
    assert CompareStep(Job(config)).size().units == 3 * 3
    assert {"search", "generate"} <= set(CompareStep(Job(config)).reads)
    names = [step.name for step in steps_of(config)]
    assert names.index("curate") < names.index("search") < names.index("compare")
    assert "search" not in [step.name for step in steps_of(configure(tmp_path))]


def test_filters_of_candidates_are_checked_before_a_run(configure: Configure, tmp_path: Path) -> None:
    config = configure(tmp_path, *SETTINGS[:-2], 'search.filters=["wether=night", "weather=night"]')
    with pytest.raises(UserError, match=r"^search: .*have no .wether.: did you mean .weather."):
        CompareStep(Job(config)).check_settings()
