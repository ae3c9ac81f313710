"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path to write to, beside ``path``; it replaces ``path`` when the block ends without an exception."""
    # A name of its own: two processes that write the same file must not write into one another's.
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield scratch
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text as UTF-8, or bytes; a reader sees the old file or the new one, never a part."""
    with written_whole(path) as scratch:
        scratch.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
