"""The paths of the files of a store, relative to its root.

On a local disk a committer holds a lock and renames, so a shard's files have one name each. An object store
has neither: there two attempts at a shard may upload at the same time, and may differ in bytes. So each attempt
uploads under names of its own, ``<shard>.<attempt>.tar`` and so on, and only then creates the receipt, which names
the attempt, on the condition that none exists (``If-None-Match: *``). The second attempt gets an error, returns
the existing receipt, and removes its own files. So a receipt always matches its bytes, without a clock or a lease,
whatever is killed, delayed or repeated. Files that no receipt names belong to nobody, and ``Store.sweep`` removes
them once their shard has a receipt. (On an object store without such a condition the last receipt wins, and
still names its own files.)
"""

from __future__ import annotations

import re

from augment.errors import UserError

MANIFEST = "store.json"
INVENTORY = "inventory.json"
SHARD_NAME = re.compile(r"[A-Za-z0-9_-]+-\d{6,}")


def tar_path(shard: str, attempt: str = "") -> str:
    """The tar of the samples."""
    return f"shards/{_name(shard, attempt)}.tar"


def index_path(shard: str, attempt: str = "") -> str:
    """The index: a row for each sample of the tar."""
    return f"index/{_name(shard, attempt)}.parquet"


def quarantine_path(shard: str, attempt: str = "") -> str:
    """The quarantine: a row for each sample that failed."""
    return f"quarantine/{_name(shard, attempt)}.parquet"


def done_path(shard: str) -> str:
    """The receipt."""
    return f"done/{shard}.json"


def _name(shard: str, attempt: str) -> str:
    return f"{shard}.{attempt}" if attempt else shard


def check_shard_name(shard: str) -> None:
    """Raise UserError unless the name is ``<name>-<index of six digits>``."""
    if not SHARD_NAME.fullmatch(shard):
        raise UserError(f"bad shard name {shard!r}: expected <name>-<six digits>, such as train-000000")
