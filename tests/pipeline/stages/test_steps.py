"""A step that writes a store refuses to go on with one that does not belong to its plan, and names the ways out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.compose import load_config
from pipeline.engine import WorkUnit
from pipeline.stages.steps import Size, StorePlan, StoreStep, Tools
from pipeline.store import Failure, FingerprintMismatch, Store
from pipeline.workflow.run import forget_followers
from tests.pipeline.engine import stages


def step(url: str, units: list[WorkUnit], **manifest: object) -> StoreStep:
    fields = {"kind": "synthetic", "taxonomy": "camvid", "geometry": {"height": 16, "width": 24}, "inputs": {"k": 4}}
    made = type(stages.MANIFEST)(**{**fields, **manifest})  # type: ignore[arg-type]
    return StoreStep(
        "generate",
        url,
        lambda: StorePlan(made, [unit.shard for unit in units], lambda: units),
        lambda: (stages.Variants(), stages.Noise()),
        lambda: Size(len(units), 0),
    )


@pytest.fixture
def tools() -> Tools:
    return Tools(load_config("quickstart", ["cluster.executor=serial"]), print)


def test_a_step_is_done_when_every_planned_shard_is_and_goes_on_where_the_plan_grew(
    tmp_path: Path, tools: Tools
) -> None:
    url = str(tmp_path / "store")
    few, more = step(url, stages.plan(2)), step(url, stages.plan(3))
    assert not few.is_done()
    few.run(tools)
    first = {receipt.shard: receipt for receipt in Store.open(url).receipts()}
    assert few.is_done()
    assert not more.is_done()
    more.run(tools)
    assert more.is_done()
    assert first.items() <= {receipt.shard: receipt for receipt in Store.open(url).receipts()}.items()
    more.reset()
    assert not few.is_done()
    assert not Path(url).exists()


def test_other_inputs_are_refused_with_both_ways_out(tmp_path: Path, tools: Tools) -> None:
    url = str(tmp_path / "store")
    step(url, stages.plan(1)).run(tools)
    with pytest.raises(FingerprintMismatch, match=r"\(k: stored 4, requested 8.*another --workspace.*--redo generate"):
        step(url, stages.plan(1), inputs={"k": 8}).is_done()


def test_a_shard_of_other_samples_is_refused_with_both_ways_out(tmp_path: Path, tools: Tools) -> None:
    url = str(tmp_path / "store")
    step(url, stages.plan(1)).run(tools)
    changed = [WorkUnit("train-000000", ("k007",)), WorkUnit("train-000001", ("k008",))]
    with pytest.raises(FingerprintMismatch, match=r"shard train-000000 .*another workspace.*--redo generate"):
        step(url, changed).run(tools)
    assert Store.open(url).done() == {"train-000000"}


def test_what_was_made_of_a_shard_with_failures_is_made_anew_after_a_retry(tmp_path: Path, tools: Tools) -> None:
    units = stages.plan(3)
    source, follower = step(str(tmp_path / "source"), units), step(str(tmp_path / "follower"), units)
    follower.run(tools)
    follower.grows_with = "generate"
    store = Store.create(source.url, source.plan().manifest)
    for number, unit in enumerate(units):
        failures = [Failure(unit.keys[0], "generate", "unreadable image: x")] if number == 1 else []
        store.write_shard(unit.shard, [], failures, unit=unit.fingerprint)
    forget_followers([source, follower], source)
    assert Store.open(follower.url).done() == {units[0].shard, units[2].shard}
    assert not follower.is_done()
