"""Where the files of a store lie, relative to its root."""

from __future__ import annotations

import re

from augment.errors import UserError

MANIFEST = "store.json"
SHARD_NAME = re.compile(r"[A-Za-z0-9_-]+-\d{6,}")


def tar_path(shard: str) -> str:
    """The samples."""
    return f"shards/{shard}.tar"


def index_path(shard: str) -> str:
    """A row for each sample of the tar."""
    return f"index/{shard}.parquet"


def quarantine_path(shard: str) -> str:
    """A row for each sample that is not in the tar."""
    return f"quarantine/{shard}.parquet"


def done_path(shard: str) -> str:
    """The receipt."""
    return f"done/{shard}.json"


def check_shard_name(shard: str) -> None:
    """Raise UserError unless the name is ``<name>-<index of six digits>``."""
    if not SHARD_NAME.fullmatch(shard):
        raise UserError(f"bad shard name {shard!r}: expected <name>-<six digits>, such as train-000000")
