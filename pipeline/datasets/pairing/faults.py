"""Faults of a dataset that are errors, unless somebody collects them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

Fault = TypeVar("Fault")


class FaultCollector(Generic[Fault]):
    """Faults of one kind: readers add to ``current`` where it is not None, and else raise an error."""

    def __init__(self, name: str) -> None:
        self._faults: ContextVar[list[Fault] | None] = ContextVar(name, default=None)

    @property
    def current(self) -> list[Fault] | None:
        """The faults collected so far; None outside ``collect``."""
        return self._faults.get()

    @contextmanager
    def collect(self) -> Iterator[list[Fault]]:
        """Give the list that readers add faults to inside the context."""
        faults: list[Fault] = []
        token = self._faults.set(faults)
        try:
            yield faults
        finally:
            self._faults.reset(token)
