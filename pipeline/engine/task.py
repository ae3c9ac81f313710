"""A stage as a unit task: read and decode ahead, process in batches, encode and write behind, commit.

A worker has several units in hand. Each reads in its own threads from the start, but only one at a time has its turn
at the stage; after its turn it is encoded and committed while the next unit has its own. So the stage waits for a
disk only where reading or writing takes longer than the stage itself. A worker holds at most ``units_at_once`` times
a few batches before and after the stage, however many shards the plan has.

A stage that can, see ``Pipelined``, begins its next batch before the outcomes of the one before are waited for.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from augment.errors import UserError
from pipeline.engine.errors import DeviceFault, explain_full_disk, is_device_fault
from pipeline.engine.memory import FittingBatches, is_out_of_memory
from pipeline.engine.overlap import ordered, read_ahead, write_behind
from pipeline.engine.stage import (
    Dropped,
    Failed,
    Ok,
    Outcome,
    Pipelined,
    Resources,
    Source,
    Stage,
    WorkUnit,
    is_pipelined,
    keys_a_read,
)
from pipeline.store import JSON, Failure, InvalidSample, Receipt, Sample, Store
from pipeline.store.writer import ShardWriter

# Metadata of a sample made from another: the key of that one.
SOURCE_KEY = "source_key"

# Enough that a batch waits before and after the one being processed.
_BATCHES_IN_QUEUE = 2
# One is being read, one has its turn at the stage, one is being written.
_UNITS_AT_ONCE = 3
# Decoding and encoding release the interpreter's lock, so a second thread of each helps on a single slot too.
_MIN_THREADS = 2
_KEYS_A_READ = 4


class ShardTask:
    """Makes the shard of a unit from its source with a stage; the result is the receipt.

    Samples are written in the order of their outcomes. A unit without any output sample commits an empty
    shard. A unit that already has a receipt is not run again.
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
        """Write the shard; raises what the source or the disk raises, and then leaves nothing visible."""
        committed = self.store.receipt(unit.shard)
        if committed is not None:
            return committed
        with explain_full_disk(self.store, unit.shard), self.store.writer(unit.shard) as writer:
            sink = Sink(writer, self.stage.name, unit.keys)
            started = self._fill(unit, writer, sink)
            receipt = writer.commit(sink.failures, sink.dropped, time.monotonic() - started, unit.fingerprint)
            return replace(receipt, notes=dict(sink.notes))

    def _fill(self, unit: WorkUnit, writer: ShardWriter, sink: Sink) -> float:
        """Write all outcomes; returns when the unit's turn began, so that the wait for it is not counted."""
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
        waiting: Callable[[], Sequence[Outcome]] = list
        for part in self._in_batches(items):
            if isinstance(part, Failed):
                yield part
            elif is_pipelined(self.stage):
                before, waiting = waiting, self._begin(self.stage, unit, part)
                yield from before()
            else:
                yield from self.process(unit, part)
        yield from waiting()

    def _in_batches(self, items: Iterator[Sample | Failed]) -> Iterator[list[Sample] | Failed]:
        batch: list[Sample] = []
        for item in items:
            if isinstance(item, Failed):
                yield item
                continue
            batch.append(item)
            if len(batch) >= self._batches.size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _begin(self, stage: Pipelined, unit: WorkUnit, batch: Sequence[Sample]) -> Callable[[], Sequence[Outcome]]:
        """Begin a batch; what is returned waits for its outcomes.

        No error is lost: `process` does again what fails. It finds the sample at fault, and raises where the device is
        at fault. Where memory ran out, it is given halves at once.
        """
        try:
            wait = stage.begin(unit, batch)
        except UserError:
            raise
        except Exception as error:
            self._shrink_for(error, batch)
            return lambda: self.process(unit, batch)

        def outcomes() -> Sequence[Outcome]:
            try:
                return wait()
            except UserError:
                raise
            except Exception as error:
                self._shrink_for(error, batch)
            return self.process(unit, batch)

        return outcomes

    def _shrink_for(self, error: Exception, batch: Sequence[Sample]) -> None:
        if is_out_of_memory(error):
            # Its frames hold the tensors that filled the memory.
            error.with_traceback(None)
            self._batches.shrink(len(batch))

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
    """Writes outcomes to a shard, and collects what is not written under the keys of the unit's samples."""

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
        """Write or note an outcome; the future gives the members of its sample, None where it has none."""
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
    """The input of an output sample: the ``source_key`` of its metadata if the unit has it, else its own key.

    ``keys`` are those of the unit.
    """
    source = metadata.get(SOURCE_KEY)
    return source if isinstance(source, str) and source in keys else key
