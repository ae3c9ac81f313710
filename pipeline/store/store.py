"""A store: shards of samples at a URL, each visible only once its receipt is written."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from augment.errors import UserError
from pipeline.store.errors import CorruptStore, FingerprintMismatch
from pipeline.store.index import merge_tables, quarantine_table, table_from_bytes
from pipeline.store.inventory import is_whole, note_asked, note_made
from pipeline.store.ledger import Totals, fold, parse_receipt, receipt_table, receipts_of, totals
from pipeline.store.location import Location
from pipeline.store.manifest import Manifest, differences
from pipeline.store.paths import INVENTORY, MANIFEST, check_shard_name, done_path, index_path, quarantine_path
from pipeline.store.receipt import Receipt
from pipeline.store.sample import Failure, Sample, kind_of
from pipeline.store.writer import ShardWriter

# How many small files are read together.
_FILES_AT_ONCE = 256
# The columns of the quarantine that make a `Failure`.
_FAILURE = ["key", "stage", "reason", "traceback"]


class Store:
    """An open store. Made by ``create`` or ``open``; small, and safe to send to other processes."""

    def __init__(self, url: str, manifest: Manifest) -> None:
        self.location = Location(url)
        self.manifest = manifest

    @property
    def url(self) -> str:
        """The absolute path of a local store, the full URL of any other."""
        return self.location.url

    @classmethod
    def create(cls, url: str, manifest: Manifest) -> Store:
        """Make the store, or open the one that is there if it was made from the same inputs.

        Raises FingerprintMismatch, which lists what differs, where it was not.
        """
        location = Location(url)
        if not location.exists(MANIFEST):
            with location.locked():
                if location.create(MANIFEST, manifest.to_bytes()):
                    return cls(url, manifest)
        store = cls.open(url)
        if store.manifest.fingerprint != manifest.fingerprint:
            changes = "; ".join(differences(store.manifest.content, manifest.content))
            raise FingerprintMismatch(
                f"{store.url} was made from other inputs ({changes}): "
                "go back to those, choose another workspace, or remove this store to make it again"
            )
        return store

    @staticmethod
    def is_at(url: str) -> bool:
        """Whether the URL has a store: its manifest."""
        return Location(url).exists(MANIFEST)

    @staticmethod
    def traces_at(url: str) -> bool:
        """Whether the URL has a store, or receipts of one that has lost its manifest."""
        return Store.is_at(url) or bool(Location(url).names("done", ".json"))

    @staticmethod
    def remove(url: str) -> None:
        """Remove everything at the URL, in an order in which an interrupted removal leaves no part of a store.

        The inventory goes first, so that `verify` misses no shard, then the receipts.
        """
        location = Location(url)
        location.remove(INVENTORY)
        location.remove_many([done_path(shard) for shard in location.names("done", ".json")])
        location.remove_tree()

    @classmethod
    def open(cls, url: str) -> Store:
        """Open an existing store; raises UserError where there is none, CorruptStore where it is damaged."""
        location = Location(url)
        try:
            data = location.read(MANIFEST)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UserError(f"no store at {location.url}: {MANIFEST} is missing") from error
        try:
            return cls(url, Manifest.from_bytes(data))
        except CorruptStore as error:
            raise CorruptStore(f"{location.url}/{MANIFEST}: {error}") from error

    def __reduce__(self) -> tuple[type[Store], tuple[str, Manifest]]:
        return Store, (self.url, self.manifest)

    def done(self) -> set[str]:
        """The names of the committed shards."""
        return set(self.location.names("done", ".json"))

    def receipt(self, shard: str) -> Receipt | None:
        """The receipt of a shard, or None while it has none."""
        try:
            return parse_receipt(self.location, shard, self.location.read(done_path(shard)))
        except FileNotFoundError:
            return None

    def receipts(self) -> list[Receipt]:
        """All receipts, sorted by shard; raises CorruptStore where one is damaged."""
        return receipts_of(self.receipt_table())

    def receipt_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """These columns of all receipts, ``shard`` first, sorted by it; None is all of them.

        Raises CorruptStore where a receipt is damaged.
        """
        return receipt_table(self.location, columns)

    def attempts(self) -> dict[str, str]:
        """The committed shards, sorted, and the attempt in the names of their files."""
        table = self.receipt_table(["attempt"])
        return dict(zip(table["shard"].to_pylist(), table["attempt"].to_pylist(), strict=True))

    def totals(self) -> Totals:
        """Sums over all receipts; raises CorruptStore where one is damaged."""
        return totals(self.location)

    def fold(self) -> bool:
        """Fold receipts into the ledger if many are new, which makes reading them fast; see ``ledger``."""
        return fold(self.location)

    def note_asked(self, shards: Iterable[str]) -> None:
        """Note the shards that a run plans; see ``inventory``."""
        note_asked(self.location, shards)

    def note_made(self) -> None:
        """Note that all of them are made, so that ``verify`` reports one that is lost later."""
        note_made(self.location)

    def is_whole(self) -> bool:
        """Whether no shard is missing that the last run planned, or that any run completed."""
        return is_whole(self.location, self.done())

    def index(self) -> pa.Table:
        """A row for each sample of the committed shards, sorted by shard and key.

        Columns: key, shard, ``<extension>:offset`` and ``<extension>:size`` of each member in the tar, and
        one for each scalar metadata entry.
        """
        return merge_tables(list(self._index_tables())).sort_by([("shard", "ascending"), ("key", "ascending")])

    def shard_keys(self) -> Iterator[tuple[str, list[str]]]:
        """Each committed shard, in order, with the sorted keys of its samples; memory holds few shards at a time."""
        for shard, table in zip(self.attempts(), self._index_tables(["key"]), strict=True):
            yield shard, sorted(table["key"].to_pylist())

    def quarantine(self) -> pa.Table:
        """A row for each sample that failed in the committed shards: key, shard, stage, reason, traceback."""
        paths = [receipt.quarantine_path for receipt in self.receipts() if receipt.quarantine_sha256]
        return merge_tables([quarantine_table("", ()), *self._tables(paths)])

    def example_failure(self) -> Failure | None:
        """The first failure of the most common kind, or None where nothing failed; reads one quarantine file."""
        table = self.receipt_table(["failures", "failure_reasons", "attempt"])
        failed = table.filter(pc.greater(table["failures"], 0)).to_pylist()
        by_shard = [(row, Counter(json.loads(row["failure_reasons"]))) for row in failed]
        kinds = sum((counts for _, counts in by_shard), Counter())
        if not kinds:
            return None
        commonest = min(kinds, key=lambda kind: (-kinds[kind], kind))
        row = next(row for row, counts in by_shard if commonest in counts)
        [rows] = self._tables([quarantine_path(row["shard"], row["attempt"])], _FAILURE)
        return next(Failure(**found) for found in rows.to_pylist() if kind_of(found["reason"]) == commonest)

    def writer(self, shard: str) -> ShardWriter:
        """Begin a shard named ``<name>-<six digits>``."""
        check_shard_name(shard)
        return ShardWriter(self.location, self.manifest, shard)

    def write_shard(
        self,
        shard: str,
        samples: Iterable[Sample],
        failures: Sequence[Failure] = (),
        started: float | None = None,
        dropped: Sequence[str] = (),
        unit: str = "",
    ) -> Receipt:
        """Write a whole shard from a stream of samples; memory holds one sample at a time.

        ``failures`` and ``dropped`` are read after the samples are exhausted, so they may grow meanwhile.
        ``started`` is a ``time.monotonic()``. Where ``samples`` or a sample raises, no file is left.
        """
        started = time.monotonic() if started is None else started
        with self.writer(shard) as writer:
            for sample in samples:
                writer.add(sample)
            return writer.commit(failures, dropped, time.monotonic() - started, unit)

    def discard(self, shard: str) -> None:
        """Remove a shard, its receipt first, so that the next run makes it again."""
        check_shard_name(shard)
        receipt = self.receipt(shard)
        if receipt is not None:
            self.location.remove(done_path(shard))
            self.location.remove_many([receipt.quarantine_path, receipt.index_path, receipt.tar_path])

    def sweep(self) -> int:
        """Remove the files of killed attempts, and of those that came second; returns how many.

        Those are scratch files of processes of this machine that have ended, and on object stores the files of
        attempts at shards that another attempt has committed.
        """
        left = self.location.sweep()
        if not self.location.is_local:
            orphans = list(self._orphans())
            self.location.remove_many(orphans)
            left += len(orphans)
        return left

    def _orphans(self) -> Iterator[str]:
        # Listed before the receipts are read: an attempt that they do not name came second, and is not about to commit.
        suffixes = {"shards": ".tar", "index": ".parquet", "quarantine": ".parquet"}
        listed = [(folder, suffix, self.location.names(folder, suffix)) for folder, suffix in suffixes.items()]
        committed = self.attempts()
        for folder, suffix, names in listed:
            for name in names:
                shard, _, attempt = name.partition(".")
                if shard in committed and attempt != committed[shard]:
                    yield f"{folder}/{name}{suffix}"

    def _index_tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        paths = [index_path(shard, attempt) for shard, attempt in self.attempts().items()]
        return self._tables(paths, columns)

    def _tables(self, paths: Sequence[str], columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        for start in range(0, len(paths), _FILES_AT_ONCE):
            some = paths[start : start + _FILES_AT_ONCE]
            try:
                found = self.location.read_many(some)
            except FileNotFoundError as error:
                raise CorruptStore(f"{self.url}: a shard has a receipt but a file is missing: {error}") from error
            for path, data in zip(some, found, strict=True):
                try:
                    yield table_from_bytes(data, columns)
                except (pa.ArrowException, OSError) as error:
                    raise CorruptStore(f"{self.url}/{path}: {error}") from error
