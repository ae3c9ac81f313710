"""A stage as a unit task: read ahead, process in batches, encode and write behind, commit."""

from __future__ import annotations

import time
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence

from augment.errors import UserError
from pipeline.engine.errors import DeviceFault, is_device_fault
from pipeline.engine.outcome import Dropped, Failed, Outcome
from pipeline.engine.overlap import read_ahead, write_behind
from pipeline.engine.stage import Resources, Source, Stage
from pipeline.engine.unit import WorkUnit
from pipeline.store import JSON, Failure, InvalidSample, Receipt, Sample, Store
from pipeline.store.writer import ShardWriter

# Metadata of a sample that was made of another.
SOURCE_KEY = "source_key"

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

    @property
    def store(self) -> Store:
        """The store, opened once in each worker."""
        if self._store is None:
            self._store = Store.open(self.store_url)
        return self._store

    def setup(self) -> None:
        """Set up the stage."""
        self.stage.setup()

    def run(self, unit: WorkUnit) -> Receipt:
        """Write the shard; raises what the source or the disk raises, leaving nothing visible."""
        started = time.monotonic()
        store = self.store
        committed = store.receipt(unit.shard)
        if committed is not None:
            return committed
        depth = _BATCHES_IN_QUEUE * self.stage.batch_size
        with store.writer(unit.shard) as writer:
            sink = Sink(writer, self.stage.name, unit.keys)
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
                yield from self.process(unit, batch)
                batch = []
        if batch:
            yield from self.process(unit, batch)

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """The outcomes of a batch; where the stage raises, those of each sample alone."""
        try:
            return self.stage.process(unit, batch)
        except UserError:
            raise
        except Exception as error:
            if is_device_fault(error):
                raise DeviceFault(str(error)) from error
            if len(batch) == 1:
                # The message of an InvalidSample begins with its own kind.
                kind = "" if isinstance(error, InvalidSample) else f"{type(error).__name__}: "
                return [Failed(batch[0].key, kind + " ".join(str(error).split()), traceback.format_exc())]
        return [outcome for sample in batch for outcome in self.process(unit, [sample])]


class Sink:
    """Writes outcomes to a shard and collects what is not written, under the keys of the unit's own samples."""

    def __init__(self, writer: ShardWriter, stage: str, keys: Sequence[str]) -> None:
        self._writer = writer
        self._stage = stage
        self._keys = frozenset(keys)
        self.failures: list[Failure] = []
        self.dropped: list[str] = []

    def take(self, outcome: Outcome) -> None:
        if isinstance(outcome, Dropped):
            self.dropped.append(outcome.reason)
        elif isinstance(outcome, Failed):
            self.failures.append(Failure(outcome.key, self._stage, outcome.reason, outcome.traceback))
        else:
            self._write(outcome.sample)

    def _write(self, sample: Sample) -> None:
        try:
            self._writer.add(sample)
        except InvalidSample as error:
            key = source_key(sample.key, sample.metadata, self._keys)
            reason = str(error) if key == sample.key else f"{error} ({sample.key})"
            self.failures.append(Failure(key, self._stage, reason, traceback.format_exc()))


def source_key(key: str, metadata: Mapping[str, JSON], keys: Collection[str]) -> str:
    """The input that an output sample was made of: the ``source_key`` of its metadata, else its own key.

    The former only where it is among ``keys``, those of the unit; where neither is, the sample's own key.
    """
    source = metadata.get(SOURCE_KEY)
    return source if isinstance(source, str) and source in keys else key
