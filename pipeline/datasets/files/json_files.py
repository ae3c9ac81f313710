"""Large JSON files of annotations, read into typed structures."""

from __future__ import annotations

import codecs
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from augment.errors import UserError
from pipeline.datasets.files.tree import Tree, without_mark
from pipeline.datasets.record import one_line

Content = TypeVar("Content")


def read_typed(tree: Tree, path: str, kind: type[Content]) -> Content:
    """Read a JSON file as a msgspec structure; values without a field in it are skipped and take no memory.

    Use `parsed` for structures with `msgspec.Raw`. Raises UserError naming a file that is missing, damaged, or lacks a
    required field.
    """
    with parsed(tree, path, kind) as content:
        return content


@contextmanager
def parsed(tree: Tree, path: str, kind: type[Content]) -> Iterator[Content]:
    """Read a JSON file as `read_typed` does; a `msgspec.Raw` in it is valid only inside the context.

    The file is memory-mapped: only the values that are kept take memory.
    """
    try:
        with tree.location.fetched(path) as file, file.open("rb") as stream:
            if not file.stat().st_size:
                raise UserError(f"damaged JSON: {tree.at(path)}: it has no bytes")
            # The mapping ends with the last reference to it; `msgspec.Raw` values refer to it.
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            marked = data[:4].startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            yield msgspec.json.decode(without_mark(data[:]) if marked else data, type=kind)
    except FileNotFoundError as error:
        raise UserError(f"missing JSON: {tree.at(path)} is not there") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unreadable(tree.at(path), error) from error


def unreadable(where: str, error: Exception) -> UserError:
    """The error for a JSON file at ``where`` that msgspec refuses: damaged, or valid JSON of another structure."""
    fault = "unexpected" if isinstance(error, msgspec.ValidationError) else "damaged"
    return UserError(f"{fault} JSON: {where}: {one_line(error)}")
