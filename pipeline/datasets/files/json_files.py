"""Annotation files that are too large to load as Python objects."""

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
    """Read a JSON file as a msgspec structure; what the structure has no field for is skipped and takes no memory.

    The structure holds no `msgspec.Raw`; see `parsed` for those. Raises UserError naming a file that is missing,
    damaged, or lacks what the structure asks for.
    """
    with parsed(tree, path, kind) as content:
        return content


@contextmanager
def parsed(tree: Tree, path: str, kind: type[Content]) -> Iterator[Content]:
    """Read a JSON file as `read_typed` does; a `msgspec.Raw` in it is good only inside the context.

    The file is mapped, so that one of a gigabyte costs no more than what is kept of it.
    """
    try:
        with tree.location.fetched(path) as file, file.open("rb") as stream:
            if not file.stat().st_size:
                raise UserError(f"damaged JSON: {tree.at(path)}: it has no bytes")
            # The mapping ends when nothing refers to it any more, as pieces of it do where their text was kept.
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            marked = data[:4].startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            yield msgspec.json.decode(without_mark(data[:]) if marked else data, type=kind)
    except FileNotFoundError as error:
        raise UserError(f"missing JSON: {tree.at(path)} is not there") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unreadable(tree.at(path), error) from error


def unreadable(where: str, error: Exception) -> UserError:
    """What to say of a JSON file at ``where`` that msgspec refuses: damaged, or whole but of other content."""
    fault = "unexpected" if isinstance(error, msgspec.ValidationError) else "damaged"
    return UserError(f"{fault} JSON: {where}: {one_line(error)}")
