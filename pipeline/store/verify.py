"""Verifying a store: every file against the store's own records."""

from __future__ import annotations

import hashlib
import itertools
import os
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from augment.errors import UserError
from pipeline.store.canonical import file_sha256
from pipeline.store.codec import IMAGE_FORMATS, LAYOUT_FORMATS, decode
from pipeline.store.errors import CorruptStore
from pipeline.store.index import as_text, index_row, table_from_bytes
from pipeline.store.inventory import Inventory, count_shards, lost_shards, read_inventory, shard_names
from pipeline.store.ledger import ledger_faults
from pipeline.store.location import Location
from pipeline.store.manifest import LATENTS, LAYOUTS, Manifest, taxonomy_of
from pipeline.store.paths import MANIFEST, done_path
from pipeline.store.receipt import Receipt
from pipeline.store.sample import LABELLED, Sample
from pipeline.store.store import Store
from pipeline.taxonomies import Taxonomy

# The split whose samples have views.
_TRAINING = "train"


@dataclass(frozen=True)
class StoreFindings:
    """The result of verifying a store.

    Attributes:
        faults: one line each, naming the file; empty where all is well.
        shards, samples: how many were checked.
        asked: shards that the last run planned; 0 where no run has written the store.
        unmade: how many of those are not made yet, which is no fault.
    """

    faults: Sequence[str]
    shards: int = 0
    samples: int = 0
    asked: int = 0
    unmade: int = 0


def verify_store(url: str, threads: int | None = None) -> list[str]:
    """The faults of a store; see ``examine_store``."""
    return list(examine_store(url, threads).faults)


def examine_store(url: str, threads: int | None = None) -> StoreFindings:
    """Check every byte of a store in ``threads`` threads; None is one for each core.

    Every file is hashed again; every member is at the place in the index and decodes; images and labels are
    paired, have the store's geometry and only ids of its taxonomy or its ignore index; neural layouts are finite; no
    key is doubled; no shard is missing that a run completed; a ledger agrees with the receipts. Files without a
    receipt are not part of the store and are not checked. Raises UserError where there is no store.
    """
    location = Location(url)
    if not location.exists(MANIFEST):
        if location.names("done", ".json"):
            return StoreFindings([f"{MANIFEST}: missing"])
        raise UserError(f"no store at {location.url}: {MANIFEST} is missing")
    try:
        store = Store.open(url)
    except CorruptStore as error:
        return StoreFindings([str(error)])
    taxonomy, faults = _taxonomy(store.manifest)
    shards = sorted(store.done())
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        checked = list(pool.map(lambda shard: _check_shard(store, shard, taxonomy), shards))
    for found in checked:
        faults.extend(found.faults)
    faults.extend(_duplicates({shard: found.keys for shard, found in zip(shards, checked, strict=True)}))
    inventory, damage = _inventory(location)
    faults.extend(damage)
    faults.extend(lost_shards(location, inventory, shards))
    receipts = {found.receipt.shard: found.receipt for found in checked if found.receipt is not None}
    faults.extend(ledger_faults(location, receipts))
    return StoreFindings(
        # Libraries' messages and keys of foreign tars may hold line breaks.
        [" ".join(fault.split()) for fault in faults],
        len(shards),
        sum(len(found.keys) for found in checked),
        count_shards(inventory.asked),
        len(set(shard_names(inventory.asked)).difference(shards, shard_names(inventory.made))),
    )


def _taxonomy(manifest: Manifest) -> tuple[Taxonomy | None, list[str]]:
    try:
        return taxonomy_of(manifest), []
    except UserError as error:
        return None, [f"{MANIFEST}: {error}"]


@dataclass(frozen=True)
class _Checked:
    """The findings in one shard: its receipt, None where that is damaged, the keys of its tar, and the faults."""

    receipt: Receipt | None
    keys: list[str]
    faults: list[str]


def _check_shard(store: Store, shard: str, taxonomy: Taxonomy | None) -> _Checked:
    try:
        receipt = Receipt.from_bytes(store.location.read(done_path(shard)))
    except CorruptStore as error:
        return _Checked(None, [], [f"{done_path(shard)}: {error}"])
    faults = []
    if receipt.shard != shard:
        faults.append(f"{done_path(shard)}: the receipt of {receipt.shard}")
    if receipt.store != store.manifest.fingerprint:
        faults.append(f"{done_path(shard)}: the receipt of another store ({receipt.store[:12]})")
    try:
        with store.location.fetched(receipt.tar_path) as tar:
            # Files with a wrong digest need not be decoded.
            if damage := list(_check_digests(store.location, receipt, tar)):
                return _Checked(receipt, [], [*faults, *damage])
            sample_faults, keys = _check_samples(store, receipt, tar, taxonomy)
    except FileNotFoundError:
        return _Checked(receipt, [], [*faults, f"{receipt.tar_path}: missing"])
    return _Checked(receipt, keys, [*faults, *sample_faults])


def _check_digests(location: Location, receipt: Receipt, tar: Path) -> Iterator[str]:
    if file_sha256(tar) != receipt.sha256:
        yield f"{receipt.tar_path}: sha256 differs from the receipt"
    for path, digest in (
        (receipt.index_path, receipt.index_sha256),
        (receipt.quarantine_path, receipt.quarantine_sha256),
    ):
        try:
            data = location.read(path)
        except FileNotFoundError:
            if digest is not None:
                yield f"{path}: missing"
            continue
        if digest is None:
            yield f"{path}: present, but the receipt counts no failures"
        elif hashlib.sha256(data).hexdigest() != digest:
            yield f"{path}: sha256 differs from the receipt"


def _check_samples(store: Store, receipt: Receipt, tar: Path, taxonomy: Taxonomy | None) -> tuple[list[str], list[str]]:
    """The faults of the tar's samples and of their index, and the keys of the tar."""
    rows, faults = _index_rows(store, receipt)
    keys: list[str] = []
    try:
        for key, members in _samples(tar):
            keys.append(key)
            row = rows[len(keys) - 1] if len(keys) <= len(rows) else {}
            faults.extend(f"{receipt.tar_path}: {fault}" for fault in _check_sample(store, key, members, row, taxonomy))
    except (tarfile.TarError, CorruptStore, OSError) as error:
        faults.append(f"{receipt.tar_path}: not a readable tar of samples: {error}")
    if len(keys) != receipt.samples:
        faults.append(f"{receipt.tar_path}: {len(keys)} samples, the receipt says {receipt.samples}")
    return faults, keys


def _index_rows(store: Store, receipt: Receipt) -> tuple[list[Mapping[str, Any]], list[str]]:
    path = receipt.index_path
    try:
        rows: list[Mapping[str, Any]] = table_from_bytes(store.location.read(path)).to_pylist()
    except (pa.ArrowException, OSError) as error:
        return [], [f"{path}: unreadable: {error}"]
    if len(rows) != receipt.samples:
        return rows, [f"{path}: {len(rows)} rows, the receipt says {receipt.samples}"]
    return rows, []


def _samples(tar: Path) -> Iterator[tuple[str, dict[str, tuple[int, bytes]]]]:
    """Each sample of a tar in order: its key, and by extension the offset and the bytes of each member."""
    with tarfile.open(tar, mode="r:") as archive:
        for key, group in itertools.groupby(archive, key=lambda entry: entry.name.partition(".")[0]):
            members: dict[str, tuple[int, bytes]] = {}
            for entry in group:
                content = archive.extractfile(entry)
                if content is None:
                    raise CorruptStore(f"{entry.name} is not a file")
                extension = entry.name.partition(".")[2]
                if extension in members:
                    raise CorruptStore(f"{entry.name} is there twice")
                members[extension] = (entry.offset_data, content.read())
            yield key, members


def _check_sample(
    store: Store,
    key: str,
    members: Mapping[str, tuple[int, bytes]],
    row: Mapping[str, Any],
    taxonomy: Taxonomy | None,
) -> Iterator[str]:
    try:
        sample = decode(key, {extension: data for extension, (_, data) in members.items()})
    except CorruptStore as error:
        yield str(error)
        return
    extents = {extension: (offset, len(data)) for extension, (offset, data) in members.items()}
    expected = index_row(key, row.get("shard", ""), extents, sample.metadata)
    wrong = sorted(name for name in {*expected, *row} if not _same(expected.get(name), row.get(name)))
    if wrong:
        yield f"{key}: the index differs in {', '.join(wrong)}"
    yield from _check_formats(store.manifest, key, members)
    yield from _check_arrays(store.manifest, sample, str(row.get("shard", "")), taxonomy)


def _same(stated: Any, indexed: Any) -> bool:
    # A column of mixed kinds holds everything as text.
    return stated == indexed or (isinstance(indexed, str) and stated is not None and as_text(stated) == indexed)


def _check_formats(manifest: Manifest, key: str, members: Mapping[str, object]) -> Iterator[str]:
    for extension in sorted(IMAGE_FORMATS & set(members)):
        if extension != manifest.image_format:
            yield f"{key}: image stored as {extension}, the store's format is {manifest.image_format}"
    for extension in sorted(LAYOUT_FORMATS.keys() & set(members)):
        if (found := LAYOUT_FORMATS[extension]) != manifest.layout_format:
            yield f"{key}: {extension} is {found}, the store's format is {manifest.layout_format}"


def _check_arrays(manifest: Manifest, sample: Sample, shard: str, taxonomy: Taxonomy | None) -> Iterator[str]:
    if sample.not_finite and manifest.kind in (LAYOUTS, LATENTS):
        yield f"{sample.key}: {sample.not_finite}"
    if manifest.kind == LAYOUTS:
        yield from _check_views(manifest, sample, shard)
    geometry = manifest.geometry
    expected = (geometry.get("height"), geometry.get("width"))
    for name, array in sample.planes.items():
        if None not in expected and array.shape[:2] != expected:
            yield f"{sample.key}: {name} is {array.shape[:2]}, the geometry is {expected}"
    unlabelled = sample.label is None and sample.metadata.get(LABELLED) is False
    if manifest.taxonomy is not None and not unlabelled and (sample.image is None) != (sample.label is None):
        present, absent = ("image", "label") if sample.label is None else ("label", "image")
        yield f"{sample.key}: {present} without {absent}"
    if sample.label is not None and taxonomy is not None:
        ids: np.ndarray = np.unique(sample.label)
        known = taxonomy.is_id[ids]
        if not known.all():
            yield f"{sample.key}: label ids {ids[~known].tolist()} are not in {taxonomy.name}"


def _check_views(manifest: Manifest, sample: Sample, shard: str) -> Iterator[str]:
    found, stated = 0 if sample.views is None else len(sample.views), manifest.inputs.get("views", 0)
    # Samples that nothing is trained on have none.
    if found != stated and (found or shard.rpartition("-")[0] == _TRAINING):
        yield f"{sample.key}: {found} views of its layout, the store was made with {stated}"


def _duplicates(keys: Mapping[str, Sequence[str]]) -> Iterator[str]:
    counts = Counter(key for shard_keys in keys.values() for key in shard_keys)
    for key, count in sorted(counts.items()):
        if count > 1:
            shards = ", ".join(shard for shard, shard_keys in keys.items() if key in shard_keys)
            yield f"{key}: is there {count} times, in {shards}"


def _inventory(location: Location) -> tuple[Inventory, list[str]]:
    try:
        return read_inventory(location), []
    except CorruptStore as error:
        return Inventory(), [str(error)]
