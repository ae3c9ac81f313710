"""A stage as a unit task: read and decode ahead, process in batches, encode and write behind, commit.

A worker has several units in hand. Each reads in its own threads from the moment that it begins, but only one at a
time has its turn at the stage; one whose turn is over is encoded and committed while the next has its own. So the
stage waits for a disk only where reading or writing takes longer than the stage itself. A worker holds at most
``units_at_once`` times a few batches on either side of the stage, however many shards there are.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from augment.errors import UserError
from pipeline.engine.disk import full_disk_told
from pipeline.engine.errors import DeviceFault, is_device_fault
from pipeline.engine.memory import FittingBatches, is_out_of_memory
from pipeline.engine.overlap import ordered, read_ahead, write_behind
from pipeline.engine.stage import Dropped, Failed, Ok, Outcome, Resources, Source, Stage, WorkUnit, keys_a_read
from pipeline.store import JSON, Failure, InvalidSample, Receipt, Sample, Store
from pipeline.store.writer import ShardWriter

# Metadata of a sample that was made of another.
SOURCE_KEY = "source_key"

# Enough that a batch waits on either side of the one being processed.
_BATCHES_IN_QUEUE = 2
# One is read, one has its turn at the stage, one is written.
_UNITS_AT_ONCE = 3
# Decoding and encoding leave the interpreter's lock, so a second thread of each helps on a single slot too.
_MIN_THREADS = 2
_KEYS_A_READ = 4


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
        self._turn: AbstractContextManager[object] = nullcontext()
        self._batches = FittingBatches(stage.name, stage.batch_size)

    @property
    def name(self) -> str:
        """The name of the stage."""
        return self.stage.name

    @property
    def resources(self) -> Resources:
        """The resources of the stage."""
        return self.stage.resources

    @property
    def store(self) -> Store:
        """The store, opened once in each worker."""
        if self._store is None:
            self._store = Store.open(self.store_url)
        return self._store

    @property
    def units_at_once(self) -> int:
        """How many units a worker may have in hand."""
        return _UNITS_AT_ONCE

    def setup(self) -> None:
        """Set up the stage."""
        self.stage.setup()
        self._turn = threading.Lock()

    def run(self, unit: WorkUnit) -> Receipt:
        """Write the shard; raises what the source or the disk raises, leaving nothing visible."""
        committed = self.store.receipt(unit.shard)
        if committed is not None:
            return committed
        with full_disk_told(self.store, unit.shard), self.store.writer(unit.shard) as writer:
            sink = Sink(writer, self.stage.name, unit.keys)
            started = self._fill(unit, writer, sink)
            receipt = writer.commit(sink.failures, sink.dropped, time.monotonic() - started, unit.fingerprint)
            return replace(receipt, notes=dict(sink.notes))

    def _fill(self, unit: WorkUnit, writer: ShardWriter, sink: Sink) -> float:
        """Write all outcomes; returns when the unit's turn began, so that waiting for it counts nowhere."""
        depth = _BATCHES_IN_QUEUE * self.stage.batch_size
        threads = max(_MIN_THREADS, int(self.resources.num_cpus))
        with (
            ThreadPoolExecutor(threads, "decode") as decoders,
            ThreadPoolExecutor(threads, "encode") as encoders,
            write_behind(sink.take, depth) as emit,
            read_ahead(self._read(unit, decoders, threads), depth) as items,
            self._turn,
        ):
            started = time.monotonic()
            for outcome in self._outcomes(unit, items):
                encoded = encoders.submit(writer.encode, outcome.sample) if isinstance(outcome, Ok) else None
                emit((outcome, encoded))
        return started

    def _read(self, unit: WorkUnit, decoders: ThreadPoolExecutor, threads: int) -> Iterator[Sample | Failed]:
        together = keys_a_read(self.source)
        step = together * -(-_KEYS_A_READ // together)
        parts = (replace(unit, keys=unit.keys[start : start + step]) for start in range(0, len(unit.keys), step))
        for samples in ordered(decoders, lambda part: list(self.source.read(part)), parts, threads + 1):
            yield from samples

    def _outcomes(self, unit: WorkUnit, items: Iterator[Sample | Failed]) -> Iterator[Outcome]:
        batch: list[Sample] = []
        for item in items:
            if isinstance(item, Failed):
                yield item
                continue
            batch.append(item)
            if len(batch) >= self._batches.size:
                yield from self.process(unit, batch)
                batch = []
        if batch:
            yield from self.process(unit, batch)

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """The outcomes of a batch; where the stage raises, those of each sample alone.

        Where memory runs out, the batch is halved instead; see `FittingBatches`.
        """
        return self._batches.run(batch, lambda part: self._attempt(unit, part))

    def _attempt(self, unit: WorkUnit, batch: Sequence[Sample]) -> Sequence[Outcome]:
        try:
            return self.stage.process(unit, batch)
        except UserError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            if is_device_fault(error):
                raise DeviceFault(str(error)) from error
            if len(batch) == 1:
                # The message of an InvalidSample begins with its own kind.
                kind = "" if isinstance(error, InvalidSample) else f"{type(error).__name__}: "
                return [Failed(batch[0].key, kind + " ".join(str(error).split()), traceback.format_exc())]
        return [outcome for sample in batch for outcome in self._attempt(unit, [sample])]


class Sink:
    """Writes outcomes to a shard and collects what is not written, under the keys of the unit's own samples."""

    def __init__(self, writer: ShardWriter, stage: str, keys: Sequence[str]) -> None:
        self._writer = writer
        self._stage = stage
        self._positions = {key: position for position, key in enumerate(keys)}
        self._failures: list[Failure] = []
        self.dropped: list[str] = []
        self.notes: Counter[str] = Counter()

    @property
    def failures(self) -> list[Failure]:
        """In the unit's order, whether a sample failed when it was read, processed or written."""
        return sorted(self._failures, key=lambda failure: self._positions.get(failure.key, len(self._positions)))

    def take(self, item: tuple[Outcome, Future[dict[str, bytes]] | None]) -> None:
        """Write or note an outcome, which comes with the members of its sample, where it has one."""
        outcome, encoded = item
        if isinstance(outcome, Dropped):
            self.dropped.append(outcome.reason)
        elif isinstance(outcome, Failed):
            self._failures.append(Failure(outcome.key, self._stage, outcome.reason, outcome.traceback))
        else:
            assert encoded is not None
            self._write(outcome.sample, encoded, outcome.notes)

    def _write(self, sample: Sample, encoded: Future[dict[str, bytes]], notes: Sequence[str]) -> None:
        try:
            self._writer.append(sample.key, encoded.result(), sample.metadata)
            self.notes.update(notes)
        except InvalidSample as error:
            key = source_key(sample.key, sample.metadata, self._positions)
            reason = str(error) if key == sample.key else f"{error} ({sample.key})"
            self._failures.append(Failure(key, self._stage, reason, traceback.format_exc()))


def source_key(key: str, metadata: Mapping[str, JSON], keys: Collection[str]) -> str:
    """The input that an output sample was made of: the ``source_key`` of its metadata, else its own key.

    The former only where it is among ``keys``, those of the unit; where neither is, the sample's own key.
    """
    source = metadata.get(SOURCE_KEY)
    return source if isinstance(source, str) and source in keys else key
