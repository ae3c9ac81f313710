"""The digest of what a store holds, which the inputs of what is made from it carry."""

from __future__ import annotations

from pipeline.store import Store, fingerprint


def content_digest(store: Store) -> str:
    """Sha256 over a store's fingerprint and the names and bytes of its committed shards."""
    table = store.receipt_table(["sha256"])
    shards: dict[str, str] = dict(zip(table["shard"].to_pylist(), table["sha256"].to_pylist(), strict=True))
    return fingerprint({"fingerprint": store.manifest.fingerprint, "shards": shards})
