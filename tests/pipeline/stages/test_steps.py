"""A step that writes a store refuses to go on with one that does not belong to its plan, and names the ways out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.compose import load_config
from pipeline.engine import Source, Stage, WorkUnit
from pipeline.stages.job import Job
from pipeline.stages.step import Size
from pipeline.stages.store_step import StorePlan, StoreStep
from pipeline.stages.tools import Tools
from pipeline.store import Failure, FingerprintMismatch, Manifest, Store
from pipeline.workflow.run import forget_followers
from tests.pipeline.engine import stages


class Written(StoreStep):
    """Writes a store of given units."""

    name = "generate"
    output = "synthetic"

    def __init__(self, url: str, units: list[WorkUnit], grows_with: str | None, **manifest: object) -> None:
        super().__init__(Job(load_config("quickstart", ["cluster.executor=serial"])))
        fields = {"kind": "synthetic", "taxonomy": "camvid", "geometry": {"height": 16, "width": 24}}
        self._url, self._units, self._grows_with = url, units, grows_with
        self._manifest = Manifest(**{**fields, "inputs": {"k": 4}, **manifest})  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        return self._url

    @property
    def grows_with(self) -> str | None:
        return self._grows_with

    def plan(self) -> StorePlan:
        return StorePlan(self._manifest, [unit.shard for unit in self._units], lambda: self._units)

    def work(self) -> tuple[Stage, Source]:
        return stages.Variants(), stages.Noise()

    def describe(self, store: Store) -> None:
        """No card: its samples have neither split nor k."""

    def size(self) -> Size:
        return Size(len(self._units), 0)


def step(url: str, units: list[WorkUnit], grows_with: str | None = None, **manifest: object) -> StoreStep:
    return Written(url, units, grows_with, **manifest)


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


def test_what_was_made_of_a_shard_with_failures_is_made_again_after_a_retry(tmp_path: Path, tools: Tools) -> None:
    units = stages.plan(3)
    source, follower = step(str(tmp_path / "source"), units), step(str(tmp_path / "follower"), units, "generate")
    follower.run(tools)
    store = Store.create(source.url, source.plan().manifest)
    for number, unit in enumerate(units):
        failures = [Failure(unit.keys[0], "generate", "unreadable image: x")] if number == 1 else []
        store.write_shard(unit.shard, [], failures, unit=unit.fingerprint)
    forget_followers([source, follower], source)
    assert Store.open(follower.url).done() == {units[0].shard, units[2].shard}
    assert not follower.is_done()
