"""Where the files of a store lie, relative to its root.

On a local disk a committer holds a lock and renames, so that a shard's files have one name each. An object store
has neither: there two attempts at a shard may upload at the same time, and may differ in bytes. So each attempt
uploads under names of its own, ``<shard>.<attempt>.tar`` and so on, and only then creates the receipt, which names
the attempt, on the condition that there is none (``If-None-Match: *``). Whoever comes second is told so, returns
the receipt that stands, and removes its own files. Hence a receipt always matches the bytes it speaks of, without
a clock or a lease, whatever is killed, delayed or repeated; and files that no receipt names are nobody's, which
``Store.sweep`` removes once their shard has a receipt. (Where an object store knows no such condition the last
receipt stands, and still names its own files.)
"""

from __future__ import annotations

import re

from augment.errors import UserError

MANIFEST = "store.json"
INVENTORY = "inventory.json"
SHARD_NAME = re.compile(r"[A-Za-z0-9_-]+-\d{6,}")


def tar_path(shard: str, attempt: str = "") -> str:
    """The samples."""
    return f"shards/{_name(shard, attempt)}.tar"


def index_path(shard: str, attempt: str = "") -> str:
    """A row for each sample of the tar."""
    return f"index/{_name(shard, attempt)}.parquet"


def quarantine_path(shard: str, attempt: str = "") -> str:
    """A row for each sample that is not in the tar."""
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
