"""Running quarantined samples again: recovered shards equal those of a run without failures."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

from pipeline.engine.errors import explain_full_disk, top_reasons
from pipeline.engine.executor import Executor
from pipeline.engine.progress import shard_progress
from pipeline.engine.stage import Failed, Ok, Outcome, Source, Stage, WorkUnit
from pipeline.engine.task import ShardTask, Sink, source_key
from pipeline.store import CorruptStore, Failure, FingerprintMismatch, Receipt, Store
from pipeline.store.codec import METADATA
from pipeline.store.index import table_from_bytes


@dataclass(frozen=True)
class RetrySummary:
    """Outcome of a retry of the quarantined samples of a stage; ``example`` is one that failed again."""

    name: str
    retried: int
    failures: int
    failure_reasons: Mapping[str, int]
    example: Failure | None = None

    @property
    def recovered(self) -> int:
        """The samples that are no longer in quarantine."""
        return self.retried - self.failures

    def __str__(self) -> str:
        if not self.retried:
            return f"{self.name}: nothing is in quarantine"
        text = f"{self.name}: {self.recovered} of {self.retried} quarantined samples recovered"
        if not self.failures:
            return text
        such = f", such as {self.example}" if self.example else ""
        return f"{text}, {self.failures} failed again ({top_reasons(self.failure_reasons)}){such}"


def retry_store_stage(
    stage: Stage,
    source: Source,
    store: Store,
    units: Iterable[WorkUnit],
    executor: Executor,
    report: Callable[[str], None],
) -> RetrySummary:
    """Run the quarantined samples of every committed shard again; shards without any are not touched.

    Failing again costs nothing: these samples counted against the budget when they first failed. Raises
    UserError where a shard was made from another unit than the one planned.
    """
    before = {receipt.shard: receipt for receipt in store.receipts() if receipt.failures}
    chosen = [unit for unit in units if unit.shard in before]
    store.sweep()
    task = RetryTask(stage, source, store.url)

    def unchanged(unit: WorkUnit, _reason: str, _traceback: str) -> Receipt:
        return before[unit.shard]

    retried, left = sum(before[unit.shard].failures for unit in chosen), 0
    reasons: Counter[str] = Counter()
    with (
        closing(executor.map(task, chosen, unchanged)) as results,
        shard_progress(stage.name, len(chosen), 0, report) as on_receipt,
    ):
        for _, receipt in results:
            on_receipt(receipt)
            left += receipt.failures
            reasons.update(receipt.failure_reasons)
    return RetrySummary(stage.name, retried, left, reasons, store.example_failure() if left else None)


class RetryTask(ShardTask):
    """Makes the shard of a unit again, where samples of it are in quarantine.

    Only those are read and processed, one by one. The members of the others are copied byte for byte, in the
    unit's order, so that a recovered shard equals one that never had a fault. The old receipt is removed
    when the new tar is whole and before it gets its name: readers see the old shard, none, or the new one. A
    kill in between leaves none, and the next run makes the shard.
    """

    @property
    def units_at_once(self) -> int:
        """One: memory holds the whole old shard."""
        return 1

    def run(self, unit: WorkUnit) -> Receipt:
        """The new receipt, or the old one where the same samples fail for the same reasons."""
        started = time.monotonic()
        old = self.store.receipt(unit.shard)
        if old is None or not old.failures:
            return super().run(unit)
        quarantined = table_from_bytes(self.store.location.read(old.quarantine_path)).to_pylist()
        again = {row["key"] for row in quarantined}
        if old.unit != unit.fingerprint or not again <= set(unit.keys):
            raise FingerprintMismatch(
                f"{self.store.url}: shard {unit.shard} was made from other samples or parameters than planned: "
                f"go back to those, or make it again with --redo {self.stage.name}"
            )
        outcomes = self._again(replace(unit, keys=tuple(key for key in unit.keys if key in again)))
        kept = _kept(self.store, old, unit)
        with (
            explain_full_disk(self.store, unit.shard),
            self.store.writer(unit.shard) as writer,
            ThreadPoolExecutor(1, "encode") as encoder,
        ):
            sink = Sink(writer, self.stage.name, unit.keys)
            for key in unit.keys:
                if key in again:
                    for outcome in next(outcomes):
                        encoded = encoder.submit(writer.encode, outcome.sample) if isinstance(outcome, Ok) else None
                        sink.take((outcome, encoded))
                    continue
                for sample, members in kept.get(key, ()):
                    writer.append(sample, members, json.loads(members[METADATA]))
            if Counter((f.key, f.reason) for f in sink.failures) == Counter(
                (r["key"], r["reason"]) for r in quarantined
            ):
                return old
            dropped = [*sink.dropped, *Counter(old.drop_reasons).elements()]
            seconds = old.seconds + time.monotonic() - started
            self.store.discard(unit.shard)
            return writer.commit(sink.failures, dropped, seconds, unit.fingerprint)

    def _again(self, unit: WorkUnit) -> Iterator[list[Outcome]]:
        """The outcomes of each sample of the unit."""
        for item in self.source.read(unit):
            yield [item] if isinstance(item, Failed) else list(self.process(unit, [item]))


def _kept(store: Store, receipt: Receipt, unit: WorkUnit) -> dict[str, list[tuple[str, dict[str, bytes]]]]:
    """The samples of a shard by the input that they were made from: key and members of each, in their order.

    Raises CorruptStore where the tar differs from its receipt, so that no copy hides the damage.
    """
    path = receipt.tar_path
    tar = store.location.read(path)
    if hashlib.sha256(tar).hexdigest() != receipt.sha256:
        raise CorruptStore(f"{store.url}/{path}: its bytes are not those of its receipt: see lumen verify {store.url}")
    kept: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
    keys = frozenset(unit.keys)
    for row in table_from_bytes(store.location.read(receipt.index_path)).to_pylist():
        members = {
            name.removesuffix(":offset"): tar[offset : offset + row[f"{name.removesuffix(':offset')}:size"]]
            for name, offset in row.items()
            if name.endswith(":offset") and offset is not None
        }
        source = source_key(row["key"], row, keys)
        if source not in keys:
            raise CorruptStore(f"{store.url}/{path}: {row['key']} was made from none of the samples of its unit")
        kept.setdefault(source, []).append((row["key"], members))
    return kept
