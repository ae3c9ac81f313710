"""The folder for what is made once on a machine and used by all runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from augment.files import write_whole

# Values that models give depend on this package and on these.
CODE, LIBRARIES = Path(__file__).parent, ("torch", "diffusers", "transformers")


def cache_root() -> Path:
    """`$LUMEN_CACHE`, else `$XDG_CACHE_HOME/lumen`, else `~/.cache/lumen`."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lumen"
    return Path(os.environ.get("LUMEN_CACHE") or default)


def kept(kind: str, key: Sequence[Any], make: Callable[[], Any]) -> Any:
    """A value that was made before from the same key, by the same code and libraries; else it is made, and kept.

    Args:
        kind: folder of the cache.
        key: all that the value depends on, as values of JSON.
        make: gives the value, as values of JSON.
    """
    libraries = {name: version(name) for name in LIBRARIES}
    text = json.dumps([*key, libraries, _code()], sort_keys=True)
    path = cache_root() / kind / f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        # It is not there, or damaged.
        value = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(value), shared=True)
    except OSError:
        # A folder that cannot be written costs the time to make the value again, and nothing else.
        return value
    return value


def files_digest(folder: Path, files: Iterable[Path]) -> str:
    """Digest of names and content of files in a folder."""
    digest = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\0".encode())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _code() -> str:
    return files_digest(CODE, CODE.rglob("*.py"))
