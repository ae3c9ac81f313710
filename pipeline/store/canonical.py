"""Canonical JSON and digests: equal values have equal bytes and equal digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, Union

_BLOCK = 1 << 22
_WHOLE, _EDGE = 64 << 20, 1 << 20

JSON: TypeAlias = Union[bool, int, float, str, "Sequence[JSON]", "Mapping[str, JSON]", None]


def canonical_json(value: JSON) -> bytes:
    """The UTF-8 bytes of ``value`` with sorted keys and no spaces.

    Raises ValueError for NaN, infinities and lone surrogates, TypeError for what JSON cannot hold.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def fingerprint(value: JSON) -> str:
    """The SHA-256 of the canonical JSON of ``value``, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def list_fingerprint(values: Iterable[JSON]) -> str:
    """The ``fingerprint`` of the list of these values; memory holds one at a time."""
    digest = hashlib.sha256(b"[")
    for position, value in enumerate(values):
        digest.update((b"," if position else b"") + canonical_json(value))
    digest.update(b"]")
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """The SHA-256 of the bytes of a file, as 64 hexadecimal digits; memory holds one block of it."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """A SHA-256 that identifies a file of weights, as 64 hexadecimal digits.

    Above 64 MiB it covers only the size, the first and the last MiB, which is fast at any size.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _WHOLE:
            return file_sha256(path)
        head = file.read(_EDGE)
        file.seek(-_EDGE, 2)
        return hashlib.sha256(head + file.read() + str(size).encode()).hexdigest()
