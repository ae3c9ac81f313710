"""Writing one shard: streamed to a scratch file, then made visible at once."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.store.ai_mark import PAINTED
from pipeline.store.canonical import JSON
from pipeline.store.codec import encode
from pipeline.store.errors import InvalidSample
from pipeline.store.index import index_row, index_table, quarantine_table, table_to_bytes
from pipeline.store.location import Location
from pipeline.store.manifest import Manifest
from pipeline.store.paths import done_path
from pipeline.store.receipt import Receipt
from pipeline.store.sample import Failure, Sample, kind_of
from pipeline.store.tar import TarStream


class ShardWriter:
    """A shard that is being written, used as a context manager; without ``commit`` it leaves no file."""

    def __init__(self, location: Location, manifest: Manifest, shard: str) -> None:
        self._location = location
        self._manifest = manifest
        self._shard = shard
        self._rows: list[dict[str, Any]] = []
        self._keys: set[str] = set()
        self._scratch: Path = location.scratch(f"{shard}.tar")
        self._stream = self._scratch.open("wb", buffering=1 << 20)
        self._tar = TarStream(self._stream)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stream.close()
        finally:
            self._scratch.unlink(missing_ok=True)

    def add(self, sample: Sample) -> None:
        """Append a sample.

        Raises InvalidSample, before a byte is written, where the sample is not encodable, does not have the
        store's geometry, or repeats a key; the shard can go on without it.
        """
        self.append(sample.key, self.encode(sample), sample.metadata)

    def encode(self, sample: Sample) -> dict[str, bytes]:
        """The members that ``append`` takes; may be called from any thread. Raises InvalidSample as ``add`` does."""
        self._check_geometry(sample)
        manifest = self._manifest
        return encode(sample, manifest.image_format, manifest.layout_format, painted=manifest.kind in PAINTED)

    def append(self, key: str, members: Mapping[str, bytes], metadata: Mapping[str, JSON]) -> None:
        """Append a sample by its encoded members; raises InvalidSample where it repeats a key."""
        if key in self._keys:
            raise InvalidSample(f"duplicate key: {key} is in {self._shard} already")
        extents = {
            extension: (self._tar.append(f"{key}.{extension}", data), len(data))
            for extension, data in sorted(members.items())
        }
        self._keys.add(key)
        self._rows.append(index_row(key, self._shard, extents, metadata))

    def commit(self, failures: Sequence[Failure], dropped: Sequence[str], seconds: float, unit: str) -> Receipt:
        """Publish tar, index and quarantine, and the receipt last.

        ``dropped`` holds a reason for each sample left out on purpose. Where another attempt has committed
        this shard first, its receipt is returned and the files of this attempt are removed.
        """
        sha256 = self._tar.finish()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        index = table_to_bytes(index_table(self._rows))
        quarantine = table_to_bytes(quarantine_table(self._shard, failures)) if failures else None
        receipt = Receipt(
            shard=self._shard,
            sha256=sha256,
            samples=len(self._rows),
            bytes=self._tar.size,
            failures=len(failures),
            dropped=len(dropped),
            seconds=round(seconds, 6),
            finished=round(time.time(), 3),
            index_sha256=hashlib.sha256(index).hexdigest(),
            quarantine_sha256=hashlib.sha256(quarantine).hexdigest() if quarantine else None,
            store=self._manifest.fingerprint,
            unit=unit,
            failure_reasons=dict(Counter(kind_of(failure.reason) for failure in failures)),
            drop_reasons=dict(Counter(kind_of(reason) for reason in dropped)),
            attempt="" if self._location.is_local else uuid.uuid4().hex[:12],
        )
        return self._publish(receipt, index, quarantine)

    def _publish(self, receipt: Receipt, index: bytes, quarantine: bytes | None) -> Receipt:
        done = done_path(self._shard)
        with self._location.locked():
            if self._location.exists(done):
                return Receipt.from_bytes(self._location.read(done))
            self._location.publish(self._scratch, receipt.tar_path)
            self._location.write(receipt.index_path, index)
            if quarantine is None:
                self._location.remove(receipt.quarantine_path)
            else:
                self._location.write(receipt.quarantine_path, quarantine)
            if self._location.create(done, receipt.to_bytes()):
                return receipt
        self._location.remove_many([receipt.tar_path, receipt.index_path, receipt.quarantine_path])
        return Receipt.from_bytes(self._location.read(done))

    def _check_geometry(self, sample: Sample) -> None:
        geometry = self._manifest.geometry
        expected = (geometry.get("height"), geometry.get("width"))
        for name, array in sample.planes.items():
            if None not in expected and array.shape[:2] != expected:
                raise InvalidSample(f"wrong size: {name} {array.shape[:2]}, the store holds {expected}")
