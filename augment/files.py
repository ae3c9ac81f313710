"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Give a path to write to, beside ``path``; it replaces ``path`` when the block ends without an exception.

    Args:
        path: the file.
        shared: whether several processes may write it at the same time. Each then writes to a scratch file of its own,
            which a kill leaves behind; otherwise the next writer uses the same scratch file again.
    """
    own = f".{uuid.uuid4().hex[:8]}" if shared else ""
    scratch = path.with_name(f".{path.name}{own}.tmp")
    try:
        yield scratch
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes, *, shared: bool = False) -> None:
    """Write text as UTF-8, or bytes; a reader sees the old file or the new one, never a part. See `written_whole`."""
    with written_whole(path, shared=shared) as scratch:
        scratch.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
