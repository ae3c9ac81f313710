"""A stage as a unit task: read ahead, process in batches, encode and write behind, commit."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence

from augment.errors import UserError
from pipeline.engine.errors import DeviceFault, is_device_fault
from pipeline.engine.outcome import Dropped, Failed, Ok, Outcome
from pipeline.engine.overlap import read_ahead, write_behind
from pipeline.engine.stage import Resources, Source, Stage
from pipeline.engine.unit import WorkUnit
from pipeline.store import Failure, InvalidSample, Receipt, Sample, Store
from pipeline.store.writer import ShardWriter

# Enough that a batch waits on either side of the one being processed.
_BATCHES_IN_QUEUE = 2


class ShardTask:
    """Makes the shard of a unit from its source by a stage; the result is the receipt.

    Samples are written in the order of their outcomes. A unit without any output sample commits an empty
    shard. A unit that has a receipt already is not run again.
    """

    def __init__(self, stage: Stage, source: Source, store_url: str) -> None:
        self.stage = stage
        self.source = source
        self.store_url = store_url
        self._store: Store | None = None

    @property
    def name(self) -> str:
        """The name of the stage."""
        return self.stage.name

    @property
    def resources(self) -> Resources:
        """The resources of the stage."""
        return self.stage.resources

    def setup(self) -> None:
        """Open the store and set up the stage."""
        self._store = Store.open(self.store_url)
        self.stage.setup()

    def run(self, unit: WorkUnit) -> Receipt:
        """Write the shard; raises what the source or the disk raises, leaving nothing visible."""
        started = time.monotonic()
        store = self._store if self._store is not None else Store.open(self.store_url)
        committed = store.receipt(unit.shard)
        if committed is not None:
            return committed
        depth = _BATCHES_IN_QUEUE * self.stage.batch_size
        with store.writer(unit.shard) as writer:
            sink = _Sink(writer, self.stage.name)
            with write_behind(sink.take, depth) as emit, read_ahead(self._read(unit), depth) as items:
                for outcome in self._outcomes(unit, items):
                    emit(outcome)
            seconds = time.monotonic() - started
            return writer.commit(sink.failures, sink.dropped, seconds, unit.fingerprint)

    def _read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
        # A generator, so that whatever read() does before its first sample happens in the thread too.
        yield from self.source.read(unit)

    def _outcomes(self, unit: WorkUnit, items: Iterator[Sample | Failed]) -> Iterator[Outcome]:
        batch: list[Sample] = []
        for item in items:
            if isinstance(item, Failed):
                yield item
                continue
            batch.append(item)
            if len(batch) == self.stage.batch_size:
                yield from self._process(unit, batch)
                batch = []
        if batch:
            yield from self._process(unit, batch)

    def _process(self, unit: WorkUnit, batch: Sequence[Sample]) -> Sequence[Outcome]:
        try:
            return self.stage.process(unit, batch)
        except UserError:
            raise
        except Exception as error:
            if is_device_fault(error):
                raise DeviceFault(str(error)) from error
            if len(batch) == 1:
                reason = f"{type(error).__name__}: {error}"
                return [Failed(batch[0].key, reason, traceback.format_exc())]
        return [outcome for sample in batch for outcome in self._process(unit, [sample])]


class _Sink:
    """Writes outcomes to a shard and collects what is not written."""

    def __init__(self, writer: ShardWriter, stage: str) -> None:
        self._writer = writer
        self._stage = stage
        self.failures: list[Failure] = []
        self.dropped: list[str] = []

    def take(self, outcome: Outcome) -> None:
        if isinstance(outcome, Dropped):
            self.dropped.append(outcome.reason)
        elif isinstance(outcome, Failed):
            self.failures.append(Failure(outcome.key, self._stage, outcome.reason, outcome.traceback))
        else:
            self._write(outcome)

    def _write(self, outcome: Ok) -> None:
        try:
            self._writer.add(outcome.sample)
        except InvalidSample as error:
            self.failures.append(Failure(outcome.sample.key, self._stage, str(error)))
