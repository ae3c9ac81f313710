"""What plan and status show as left is what a run does, whatever was changed, interrupted or lost before."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from augment.errors import UserError
from pipeline.config import Config
from pipeline.stages.step import StageName
from pipeline.store import Store
from pipeline.workflow.kept_config import read_config
from pipeline.workflow.progress import Row, plan_table, progress_so_far, status_table
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection, steps_of
from pipeline.workspace.workspace import Workspace, read_kept_config
from tests.pipeline.progress import progress
from tests.pipeline.workflow.faked import Work, changed

STORES = ("real", "layouts", "synthetic", "curated")


def rows_by_stage(rows: list[Row]) -> dict[StageName, Row]:
    return {row.stage: row for row in rows}


# The first of each is the base's own value; those with a mark are refused once the stage is made.
SETTINGS: dict[str, list[Any]] = {
    "downstream.seeds": [[0, 1], [0], [0, 1, 2], [3]],
    "downstream.mixes": [["real", "synthetic", "real+synthetic"], ["real"], ["real", "real+0.5*synthetic"]],
    "downstream.iterations": [1000, 50],
    "generate.variants": [1, 2, 3],
    "generate.ks": [[4], [1, 4]],
    "generate.sampling": [None, {"fraction": 0.5}],
    "judge.iterations": [1000, 50],
    "curate.quantile": [0.95, 0.9],
    "curate.tolerance": [1.25, 2.0],
    "adapt.steps": [0, 3],
    "seed": [0, 1],
    "dataset.limit": [{}, {"train": 3}],
    "name": ["own", "other"],
}


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """New values of a few keys; the mild ones, which extend a run, more often than those that are refused."""
    mild = ["downstream.seeds", "downstream.mixes", "downstream.iterations", "generate.variants", "generate.ks"]
    keys = draw(st.lists(st.sampled_from([*mild * 4, *SETTINGS]), max_size=2, unique=True))
    return {key: draw(st.sampled_from(SETTINGS[key])) for key in keys}


@st.composite
def events(draw: st.DrawFn) -> tuple[dict[str, Any], int | None, tuple[str, int] | None, StageName | None]:
    """What is changed, after how many units the run is interrupted, which shard is lost before, what is redone."""
    return (
        draw(changes()),
        draw(st.none() | st.integers(0, 12)),
        draw(st.none() | st.none() | st.tuples(st.sampled_from(STORES), st.integers(0, 9))),
        draw(st.sampled_from([None, None, None, None, "generate", "judge", "compare"])),
    )


def lose(space: Path, store: str, number: int) -> None:
    url = Workspace(space).store(store)
    if Store.is_at(url) and (done := sorted(Store.open(url).done())):
        Store.open(url).discard(done[number % len(done)])


def hold(before: dict[StageName, Row], work: Work, *, whole: bool) -> None:
    """Check that a run did of each stage what was shown as left, or began to."""
    for stage, row in before.items():
        assert row.units_left is not None
        did = work.done[stage]
        if row.waits_for is None and whole:
            assert did == row.units_left, stage
            assert row.done == (stage not in work.begun), stage
        assert did <= row.units_left, stage


LOSS_AND_FEWER_VARIANTS = [
    ({"generate.variants": 2}, None, None, None),
    ({"generate.variants": 1}, 2, ("real", 0), None),
]


# To shrink an example of several runs would take many minutes.
@settings(max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@example(history=LOSS_AND_FEWER_VARIANTS)
@given(history=st.lists(events(), min_size=2, max_size=5))
def test_what_plan_shows_as_left_is_what_run_does_and_status_agrees(
    work: Work, base: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, history: list[Any]
) -> None:
    space = tmp_path_factory.mktemp("run") / "space"
    values: dict[str, Any] = {}
    for change, most, lost, redo in [({}, None, None, None), *history]:
        asked = {**values, **change}
        config = changed(base, space, asked)
        if lost is not None:
            lose(space, *lost)
        work.done, work.begun, work.most = Counter(), [], most
        if redo is not None:
            with suppress(UserError, KeyboardInterrupt):
                run(config, Selection(redo=redo), lambda _: None)
            work.done, work.begun = Counter(), []
        try:
            before = rows_by_stage(progress(steps_of(config)))
        except UserError:
            with pytest.raises(UserError):
                run(config, Selection(), lambda _: None)
            assert not work.begun
            continue
        try:
            run(config, Selection(), lambda _: None)
        except KeyboardInterrupt:
            hold(before, work, whole=False)
        except UserError:
            # What a stage holds that waits for another, here one of which a shard was lost, shows only then.
            assert any(row.waits_for for row in before.values())
            hold(before, work, whole=False)
        else:
            hold(before, work, whole=True)
            after = progress(steps_of(config))
            assert all(row.done and row.units == row.units_done and row.units_left == 0 for row in after)
        values = asked
        # As `read_config` does, which takes much longer by composing recipes.
        kept = Config.model_validate({**read_kept_config(space / "config.yaml"), "workspace": str(space)})
        status = progress_so_far(steps_of(kept))
        try:
            assert status == progress(steps_of(kept))
        except UserError:
            assert any(row.refused for row in status)
        assert kept == config or not work.begun
    shutil.rmtree(space.parent)


@pytest.fixture
def finished(work: Work, base: dict[str, Any], tmp_path: Path) -> Path:
    """A workspace of a run that was done to its end."""
    work.done, work.begun, work.most = Counter(), [], None
    space = tmp_path / "space"
    run(changed(base, space, {}), Selection(), lambda _: None)
    work.done, work.begun = Counter(), []
    return space


def interrupted(work: Work, config: Config, most: int) -> None:
    work.done, work.begun, work.most = Counter(), [], most
    with pytest.raises(KeyboardInterrupt):
        run(config, Selection(), lambda _: None)


def test_trainings_that_are_left_are_counted_where_seeds_are_added_and_a_run_is_stopped(
    work: Work, base: dict[str, Any], finished: Path
) -> None:
    config = changed(base, finished, {"downstream.seeds": [0, 1, 2]})
    rows = rows_by_stage(progress(steps_of(config)))
    assert (rows["compare"].units_done, rows["compare"].units, rows["compare"].done) == (6, 9, False)
    assert (rows["evaluate"].units_done, rows["evaluate"].done) == (1, True)
    assert (rows["report"].units_done, rows["report"].waits_for) == (0, "compare")
    interrupted(work, config, 2)
    status = rows_by_stage(progress_so_far(steps_of(read_config(finished, done=True))))
    assert (status["compare"].units_done, status["compare"].units) == (8, 9)
    assert status["report"].units_done == 0
    lines = status_table(list(status.values()), {})
    assert next(line for line in lines if line.startswith("compare")).split()[1] == "8/9"
    assert next(line for line in lines if line.startswith("report")).split()[1] == "?/1"
    assert "?: whether the results of report are still valid is known when compare is done" in lines


def test_other_iterations_leave_every_training_to_be_done(base: dict[str, Any], finished: Path) -> None:
    rows = rows_by_stage(progress(steps_of(changed(base, finished, {"downstream.iterations": 50}))))
    assert (rows["compare"].units_done, rows["compare"].units_left) == (0, 6)


def test_fewer_seeds_leave_the_table_alone_to_be_written(work: Work, base: dict[str, Any], finished: Path) -> None:
    config = changed(base, finished, {"downstream.seeds": [1]})
    rows = progress(steps_of(config))
    compare = rows_by_stage(rows)["compare"]
    assert (compare.units_done, compare.units, compare.units_left, compare.done) == (3, 3, 0, False)
    assert next(line for line in plan_table(rows) if line.startswith("compare")).split()[3] == "table"
    run(config, Selection(), lambda _: None)
    assert work.done == {"report": 1}
    assert work.begun == ["compare", "report"]


def test_more_variants_keep_the_trainings_on_real_data(work: Work, base: dict[str, Any], finished: Path) -> None:
    config = changed(base, finished, {"generate.variants": 2})
    rows = rows_by_stage(progress(steps_of(config)))
    assert (rows["generate"].units_done, rows["generate"].units_left) == (5, 5)
    assert (rows["curate"].units_done, rows["curate"].units_left, rows["curate"].waits_for) == (3, 3, None)
    assert (rows["judge"].done, rows["compare"].units_done, rows["compare"].waits_for) == (True, 2, "curate")
    run(config, Selection(), lambda _: None)
    assert work.done == {"generate": 5, "curate": 3, "compare": 4, "evaluate": 1, "report": 1}


def test_a_later_stage_of_other_inputs_is_refused_before_an_earlier_one_works(
    work: Work, base: dict[str, Any], finished: Path
) -> None:
    config = changed(base, finished, {"generate.variants": 2, "judge.iterations": 50})
    for attempt in (lambda: progress(steps_of(config)), lambda: run(config, Selection(), lambda _: None)):
        with pytest.raises(UserError, match=r"judge\.iterations: stored 1000, requested 50"):
            attempt()
    assert not work.begun


def test_what_was_prepared_for_other_inputs_is_refused_before_any_work(base: dict[str, Any], finished: Path) -> None:
    Store.remove(str(finished / "curated"))
    Store.open(str(finished / "synthetic")).discard("val-k04-v00-000000")
    config = changed(base, finished, {"curate.tolerance": 2.0})
    with pytest.raises(UserError, match=r"curate\.tolerance"):
        progress(steps_of(config))


def test_nothing_of_later_stages_counts_while_a_shard_of_the_first_is_lost(
    work: Work, base: dict[str, Any], finished: Path
) -> None:
    Store.open(str(finished / "real")).discard("train-000001")
    config = changed(base, finished, {})
    rows = progress(steps_of(config))
    assert [(row.stage, row.units_done) for row in rows if row.units_done] == [("shard", 4)]
    assert {row.waits_for for row in rows[1:]} == {"shard"}
    assert [replace(row) for row in progress_so_far(steps_of(read_config(finished, done=True)))] == rows
    run(config, Selection(), lambda _: None)
    assert work.done == {"shard": 1}


def test_curation_of_a_part_of_the_sources_is_planned_in_its_own_size(
    work: Work, base: dict[str, Any], tmp_path: Path
) -> None:
    work.done, work.begun, work.most = Counter(), [], None
    config = changed(base, tmp_path / "space", {"generate.sampling": {"fraction": 0.4}})
    before = rows_by_stage(progress(steps_of(config)))
    assert (before["generate"].units, before["curate"].units, before["curate"].samples) == (3, 1, 2)
    run(config, Selection(), lambda _: None)
    hold(before, work, whole=True)


def test_a_page_of_the_report_command_does_not_stop_the_run(base: dict[str, Any], finished: Path) -> None:
    """`lumen report` writes the page alone, at any time; the stage makes its own in that place."""
    config = changed(base, finished, {})
    page = finished / "report" / "index.html"
    shutil.rmtree(page.parent)
    page.parent.mkdir()
    page.write_text("of an unfinished run")
    page.with_name(".index.html.tmp").write_text("of a command that was killed")
    run(config, Selection(), lambda _: None)
    assert all(row.done for row in progress(steps_of(config)))


@pytest.mark.parametrize("name", ["judge", "scale"])
def test_redo_refuses_before_it_removes_anything(base: dict[str, Any], finished: Path, name: str) -> None:
    shutil.rmtree(finished / name)
    (finished / name).mkdir()
    (finished / name / "notes.txt").write_text("of somebody else")
    before = sorted(path for path in finished.rglob("*") if path.name != ".lock")
    with pytest.raises(UserError, match=rf"{name} exists and has no artifact\.json"):
        run(changed(base, finished, {}), Selection(redo="fit"), lambda _: None)
    assert sorted(path for path in finished.rglob("*") if path.name != ".lock") == before
