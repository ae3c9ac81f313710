"""How many units run in a worker at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Lanes:
    """Lets up to ``count`` units into a worker at once, or one alone."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = threading.Semaphore(count)
        self._door = threading.Lock()

    @contextmanager
    def entered(self, alone: bool) -> Iterator[None]:
        """Hold one lane, or all of them, inside the context; waits until they are free."""
        taken = self._count if alone else 1
        # One at a time through the door: two that hold a part of the lanes and want all would wait for ever.
        with self._door:
            for _ in range(taken):
                self._free.acquire()
        try:
            yield
        finally:
            self._free.release(taken)
