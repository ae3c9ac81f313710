"""The curves of a run: measured on held-out images of all bases, shown by a command, and chosen from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from augment.layouts.basis import LayoutBasis
from augment.layouts.probing import cell_classes
from pipeline.cli import guarded
from pipeline.engine import Resources, WorkUnit
from pipeline.stages.fit import OWN
from pipeline.stages.generate import GenerateStep
from pipeline.stages.job import Job
from pipeline.stages.layout_readers import FitReaders
from pipeline.stages.probe import CHART, CURVES, ProbeStep, measured_ks, slices
from pipeline.stages.reading import StoreSource
from pipeline.store import SampleReader, Store
from pipeline.workflow.kept_config import read_config
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection
from tests.pipeline.conftest import Configure


def test_all_bases_are_measured_at_each_k(generated: Path) -> None:
    curves = Job(read_config(generated)).step(ProbeStep).curves()
    assert list(curves) == ["layouts", "own", "pca"]
    for found in curves.values():
        assert found.ks == (1, 2, 3, 4)
        assert all(point.miou is not None and np.isfinite(point.miou) for point in found.points)
        assert set(found.at(1).changed_miou) == set(found.shifts)
        assert all(len(shift) == 4 for shift in found.shifts.values())


def test_images_measured_are_of_the_split_that_nothing_was_fitted_on(generated: Path) -> None:
    facts = json.loads((generated / "curves" / "artifact.json").read_text())["facts"]
    assert facts["images"] == {"train": 5, "val": 2}


def test_the_command_prints_what_is_there_and_where_the_chart_is(
    generated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(["layouts", str(generated)]) == 0
    text = capsys.readouterr().out
    assert "the basis that layouts are written in:" in text
    assert "recommended: generate.ks=[" in text
    assert str(generated / "curves" / CHART) in text
    assert guarded(["layouts", str(generated), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((generated / "curves" / CURVES).read_text())


def test_the_command_makes_curves_that_are_missing(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (copied / "curves" / CURVES).read_text()
    for path in (copied / "curves").iterdir():
        path.unlink()
    (copied / "curves").rmdir()
    assert guarded(["layouts", str(copied)]) == 0
    text = capsys.readouterr().out
    assert "recommended: generate.ks=[" in text
    assert "probe: image 5/5" in text and "probe: image 2/2" in text
    again, old = json.loads((copied / "curves" / CURVES).read_text()), json.loads(before)
    assert again == old


def test_automatic_ks_are_those_that_the_curves_recommend(copied: Path, configure: Configure) -> None:
    config = configure(copied, "generate.ks=auto", "generate.splits=[val]", "downstream.mixes=[real]")
    expected = Job(config).step(ProbeStep).recommended_ks()
    run(config, Selection(until="generate", redo="generate"), lambda _line: None)
    index = Store.open(str(copied / "synthetic")).index().to_pylist()
    assert set(expected) == {row["k"] for row in index}
    assert Job(config).step(GenerateStep).ks == expected


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluate.split=null"], "generate.ks=auto: evaluate.split is null"),
        (
            ["conditioning=canny", "generator.adapter=null", "adapt.steps=1"],
            "'auto' chooses among the components of neural",
        ),
    ],
)
def test_automatic_ks_without_anything_to_choose_by_are_refused_before_the_run(
    configure: Configure, tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(configure(tmp_path / "space", "generate.ks=auto", *overrides), Selection(), lambda _line: None)
    assert not (tmp_path / "space" / "real").exists()


def test_classes_of_cells_are_those_of_the_stored_labels(generated: Path) -> None:
    reader = SampleReader(Store.open(str(generated / "real")))
    label = reader.read(next(iter(reader.keys))).label
    assert label is not None
    classes = cell_classes(label[None], 19)[0]
    row, column = np.argwhere(classes >= 0)[0]
    cell = label[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
    assert (cell == classes[row, column]).mean() >= 0.5


@pytest.mark.parametrize(("components", "expected"), [(1, [1]), (4, [1, 2, 3, 4]), (7, [1, 2, 3, 4, 5, 6, 7])])
def test_the_last_k_is_measured(components: int, expected: list[int]) -> None:
    assert measured_ks(components) == expected


def test_the_command_measures_curves_of_other_options_again(
    copied: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    run(configure(copied, "probe.held_out_images=1"), Selection(only="fit"), lambda _line: None)
    assert guarded(["layouts", str(copied), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((copied / "curves" / CURVES).read_text())
    assert json.loads((copied / "curves" / "artifact.json").read_text())["facts"]["images"]["val"] == 1


def test_automatic_ks_follow_curves_that_are_made_again(copied: Path, configure: Configure) -> None:
    job = Job(configure(copied, "generate.ks=auto"))
    stored = json.loads((copied / "curves" / CURVES).read_text())
    for best in (2, 3):
        for point in stored["layouts"]["points"]:
            point["miou"] = 0.5 if point["k"] == best else 0.0
        (copied / "curves" / CURVES).write_text(json.dumps(stored))
        assert job.step(GenerateStep).ks == (best,)


def test_the_plan_says_how_many_ks_it_counts(copied: Path, configure: Configure) -> None:
    step = Job(configure(copied, "generate.ks=auto")).step(GenerateStep)
    assert step.remark() == f"generate: generate.ks=auto takes {list(step.ks)}, by the curves in the workspace"
    shutil.rmtree(copied / "curves")
    assert step.remark().startswith("generate: counted for 3 ks, the most that generate.ks=auto takes")
    assert not Job(configure(copied)).step(GenerateStep).remark()


def test_automatic_ks_are_refused_in_a_line_where_the_run_measures_nothing(copied: Path, configure: Configure) -> None:
    shutil.rmtree(copied / "curves")
    config = configure(copied, "generate.ks=auto", "evaluate.split=null")
    with pytest.raises(UserError, match=r"generate.ks=auto: evaluate.split is null"):
        run(config, Selection(until="generate"), lambda _line: None)


def test_a_stage_that_does_not_read_the_curves_runs_alone_without_them(copied: Path, configure: Configure) -> None:
    shutil.rmtree(copied / "curves")
    more = "generate.ks=[0,2,4]"
    run(configure(copied, more), Selection(only="generate"), lambda _line: None)
    assert {row["k"] for row in Store.open(str(copied / "synthetic")).index().to_pylist()} == {0, 2, 4}
    with pytest.raises(UserError, match="--only report: stage probe before it is not done"):
        run(configure(copied, more), Selection(only="report"), lambda _line: None)


def test_the_backbone_of_a_worker_must_be_that_of_the_bases(generated: Path, tmp_path: Path) -> None:
    basis = LayoutBasis.load(generated / "basis" / OWN)
    replace(basis, revision="other").save(tmp_path)
    source = StoreSource(str(generated / "real"), ("image",))
    task = FitReaders(source, "dinov2-vits14", {OWN: str(tmp_path)}, 0, "cpu", Resources(), 1)
    with pytest.raises(UserError, match=r"this machine has revision .* and the basis was fitted on other"):
        task.setup()


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (20, [10, 10]), (23, [10, 10, 3])])
def test_slices_have_all_keys_once_in_their_order(count: int, sizes: list[int]) -> None:
    keys = tuple(map(str, range(count)))
    found = slices(WorkUnit("val", keys), 10)
    assert [len(unit.keys) for unit in found] == sizes
    assert tuple(key for unit in found for key in unit.keys) == keys
    assert len({unit.shard for unit in found}) == len(sizes)
