"""The receipt of a shard: it is the commit, and holds all that ``status`` needs."""

from __future__ import annotations

import builtins
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.store.canonical import canonical_json, fingerprint
from pipeline.store.errors import CorruptStore
from pipeline.store.paths import index_path, quarantine_path, tar_path

# Metadata of a field that is not written to the file.
NOT_STORED = {"stored": False}


@dataclass(frozen=True)
class Receipt:
    """The content of a committed shard in figures.

    The digests are of the files in the store; ``quarantine_sha256`` is None without failures.
    ``seconds`` is the time the shard took and ``finished`` the Unix time of its commit. ``failure_reasons``
    and ``drop_reasons`` count by kind. ``store`` is the fingerprint of the store and ``unit`` that of the
    work unit. ``attempt`` is part of the names of the shard's files, and empty on a local disk. ``notes`` count
    the notes of a worker on its samples, for the summary of the run, and are not stored.
    """

    shard: str
    sha256: str
    samples: int
    bytes: int
    failures: int
    dropped: int
    seconds: float
    finished: float
    index_sha256: str
    quarantine_sha256: str | None
    store: str
    unit: str = ""
    failure_reasons: Mapping[str, int] = field(default_factory=dict)
    drop_reasons: Mapping[str, int] = field(default_factory=dict)
    attempt: str = ""
    notes: Mapping[str, int] = field(default_factory=dict, compare=False, metadata=NOT_STORED)

    @property
    def tar_path(self) -> str:
        """The path of the samples."""
        return tar_path(self.shard, self.attempt)

    @property
    def index_path(self) -> str:
        """The path of the index."""
        return index_path(self.shard, self.attempt)

    @property
    def quarantine_path(self) -> str:
        """The path of the failures, if any."""
        return quarantine_path(self.shard, self.attempt)

    def to_bytes(self) -> builtins.bytes:
        """The bytes of ``done/<shard>.json``, which hold their own digest."""
        content = {item.name: getattr(self, item.name) for item in stored_fields()}
        if not self.attempt:
            del content["attempt"]
        return canonical_json({**content, "digest": fingerprint(content)})

    @classmethod
    def from_bytes(cls, data: builtins.bytes) -> Receipt:
        """The receipt of these bytes; raises CorruptStore unless their digest is right."""
        try:
            fields = json.loads(data)
            digest = fields.pop("digest")
            receipt = cls(**fields)
            # Cutting the digest out costs a quarter of writing the content again, which counts for a million receipts.
            content = data.replace(f'"digest":"{digest}",'.encode(), b"", 1)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptStore(f"not a receipt ({error})") from error
        if hashlib.sha256(content).hexdigest() != digest or len(content) == len(data):
            raise CorruptStore("the receipt does not match its own digest")
        return receipt


def stored_fields() -> list[dataclasses.Field[object]]:
    """The fields of a receipt that its file holds."""
    return [item for item in dataclasses.fields(Receipt) if item.metadata != NOT_STORED]
