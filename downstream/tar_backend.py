"""A file backend of mmengine for the members of a store, so that mmsegmentation's own loaders read tar shards."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote, unquote

from mmengine.fileio import BaseStorageBackend, register_backend

from augment.errors import UserError
from pipeline.store import SampleReader, Store

PREFIX = "lumen"


def member_path(store_url: str, key: str, extension: str) -> str:
    """Path of one member, e.g. ``lumen:///data/real#city_000001/label.png``.

    The store's URL is percent-encoded, because mmengine takes only one ``://`` in a path.
    """
    return f"{PREFIX}://{quote(store_url)}#{key}/{extension}"


def parse_member_path(path: str) -> tuple[str, str, str]:
    """Store URL, key and extension of a member path; UserError if it is not one."""
    location, hash_sign, member = path.removeprefix(f"{PREFIX}://").partition("#")
    key, slash, extension = member.partition("/")
    if not path.startswith(f"{PREFIX}://") or not (location and hash_sign and key and slash and extension):
        raise UserError(f"{path!r} is not a member of a store: expected {PREFIX}://STORE#KEY/EXTENSION")
    return unquote(location), key, extension


@lru_cache(maxsize=32)
def _reader(store_url: str) -> SampleReader:
    return SampleReader(Store.open(store_url))


def forget_indexes() -> None:
    """Drop cached indexes: the next read of every store loads its index again, because it may have changed."""
    _reader.cache_clear()


@register_backend(PREFIX, prefixes=PREFIX, force=True)
class StoreBackend(BaseStorageBackend):
    """Reads a member of a store with one ranged read at the offset that the index gives.

    A store's index is read once in a process, or again after `forget_indexes`.
    """

    def get(self, filepath: str) -> bytes:
        """Bytes of the member at `filepath` (see `member_path`); KeyError if the store has no such member."""
        store_url, key, extension = parse_member_path(str(filepath))
        return _reader(store_url).read_member(key, extension)

    def get_text(self, filepath: str, encoding: str = "utf-8") -> str:
        """Text of the member at `filepath`."""
        return self.get(filepath).decode(encoding)
