"""Running a stage over its plan: the shards that are missing, within the error budget."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from pipeline.engine.errors import ErrorBudget, RunFailed, top_reasons
from pipeline.engine.executor import Executor
from pipeline.engine.plan import Plan, remaining
from pipeline.engine.progress import shard_progress
from pipeline.engine.stage import Source, Stage, WorkUnit
from pipeline.engine.task import ShardTask
from pipeline.store import Failure, Receipt, Store

# Receipts between two checks of whether the ledger is worth rewriting.
_FOLD_EVERY = 10_000


@dataclass(frozen=True)
class StageSummary:
    """The sums of a run of a stage, without the ``done_before`` of the ``units`` that were already done.

    ``example`` is one of the samples that failed, None where none did.
    """

    name: str
    units: int
    done_before: int
    samples: int
    failures: int
    dropped: int
    failure_reasons: Mapping[str, int]
    drop_reasons: Mapping[str, int]
    seconds: float
    notes: Mapping[str, int] = field(default_factory=dict)
    example: Failure | None = None

    def __str__(self) -> str:
        if self.units == self.done_before:
            return f"{self.name}: all {self.units} shards are done"
        parts = [f"{self.units - self.done_before} shards, {self.samples} samples in {self.seconds:.1f} s"]
        if self.dropped:
            parts.append(f"{self.dropped} dropped ({top_reasons(self.drop_reasons)})")
        if self.notes:
            parts.append(top_reasons(self.notes))
        if self.failures:
            such = f", such as {self.example}" if self.example else ""
            parts.append(f"{self.failures} quarantined ({top_reasons(self.failure_reasons)}){such}")
        return f"{self.name}: {', '.join(parts)}"


def run_store_stage(
    stage: Stage,
    source: Source,
    store: Store,
    units: Sequence[WorkUnit],
    executor: Executor,
    budget: ErrorBudget,
    report: Callable[[str], None],
    remedy: str = "",
) -> StageSummary:
    """Make every shard of the plan that the store does not have yet.

    A unit that hangs, or takes every worker down, is quarantined with all its samples. Raises RunFailed where a unit
    raises, or over the error budget: with the most common reasons, one of them whole, and the ``remedy``. Raises
    FingerprintMismatch where a shard was made from another unit than the one planned. What is committed stays.
    """
    started = time.monotonic()
    store.fold()
    plan = Plan.of(units)
    missing = remaining(store, plan)
    done_before = len(plan) - len(missing)
    store.note_asked(shard.as_py() for shard in plan.shards)
    store.sweep()
    tally = _Tally(stage.name, budget, store, remedy or f"see {store.url}/quarantine")
    task = ShardTask(stage, source, store.url)

    def quarantined(unit: WorkUnit, reason: str, traceback: str) -> Receipt:
        failures = [Failure(key, stage.name, reason, traceback) for key in unit.keys]
        return store.write_shard(unit.shard, (), failures, unit=unit.fingerprint)

    with (
        closing(executor.map(task, missing, quarantined)) as results,
        shard_progress(stage.name, len(plan), done_before, report) as on_receipt,
    ):
        for count, (_, receipt) in enumerate(results, 1):
            on_receipt(receipt)
            tally.add(receipt)
            if count % _FOLD_EVERY == 0:
                store.fold()
    absent = missing.without(store.done())
    if absent:
        raise RunFailed(f"{stage.name}: {len(absent)} shards of the plan are missing, such as {absent[0].shard}")
    store.note_made()
    store.sweep()
    store.fold()
    if not done_before:
        tally.require_some()
    return tally.summary(len(plan), done_before, time.monotonic() - started)


class _Tally:
    """The sums of a run, which end it once too much has failed."""

    def __init__(self, name: str, budget: ErrorBudget, store: Store, remedy: str) -> None:
        self._name = name
        self._budget = budget
        self._store = store
        self._remedy = remedy
        self._samples = self._failures = self._dropped = 0
        self._failure_reasons: Counter[str] = Counter()
        self._drop_reasons: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()

    def add(self, receipt: Receipt) -> None:
        self._samples += receipt.samples
        self._failures += receipt.failures
        self._dropped += receipt.dropped
        self._failure_reasons.update(receipt.failure_reasons)
        self._drop_reasons.update(receipt.drop_reasons)
        self._notes.update(receipt.notes)
        seen = self._samples + self._failures + self._dropped
        if self._failures > self._budget.allowed(seen):
            raise RunFailed(
                f"{self._name}: {self._failures} of {seen} samples failed, over the budget ({self._budget}): "
                f"{self._reasons()}; {self._remedy}"
            )

    def require_some(self) -> None:
        """Raise RunFailed where every sample has failed, even if the budget allows that many."""
        if self._failures and not self._samples and not self._dropped:
            raise RunFailed(f"{self._name}: all {self._failures} samples failed: {self._reasons()}; {self._remedy}")

    def _reasons(self) -> str:
        return f"{top_reasons(self._failure_reasons)}, such as {self._store.example_failure()}"

    def summary(self, units: int, done_before: int, seconds: float) -> StageSummary:
        return StageSummary(
            self._name,
            units,
            done_before,
            self._samples,
            self._failures,
            self._dropped,
            dict(self._failure_reasons),
            dict(self._drop_reasons),
            seconds,
            dict(self._notes),
            self._store.example_failure() if self._failures else None,
        )
