"""Stores: WebDataset tar shards with a parquet index, receipts and a quarantine, at any fsspec URL."""

from __future__ import annotations

from pipeline.store.canonical import JSON, canonical_json, file_digest, fingerprint
from pipeline.store.errors import CorruptStore, FingerprintMismatch, InvalidSample, StoreUnavailable
from pipeline.store.ledger import Totals
from pipeline.store.manifest import Manifest, taxonomy_of
from pipeline.store.reader import SampleReader
from pipeline.store.receipt import Receipt
from pipeline.store.sample import Failure, Sample, kind_of, stack_pairs
from pipeline.store.store import Store
from pipeline.store.verify import verify_store

__all__ = [
    "JSON",
    "CorruptStore",
    "Failure",
    "FingerprintMismatch",
    "InvalidSample",
    "Manifest",
    "Receipt",
    "Sample",
    "SampleReader",
    "Store",
    "StoreUnavailable",
    "Totals",
    "canonical_json",
    "file_digest",
    "fingerprint",
    "kind_of",
    "stack_pairs",
    "taxonomy_of",
    "verify_store",
]
