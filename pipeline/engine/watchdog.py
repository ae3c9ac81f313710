"""Notices that a worker hangs."""

from __future__ import annotations

import faulthandler
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

# Past this multiple of the timeout the process ends without a word: its interpreter is held by code that hangs.
_WITHOUT_A_WORD = 1.5


class Watchdog:
    """Calls ``expired`` where units are in hand and none begins, advances or ends for ``seconds``; None never does.

    ``expired`` gets the units in hand and the stacks of all threads, in a thread of its own. With ``deadly`` the
    process ends somewhat later, even where no Python code can run any more; of the deadly ones in a process only one
    may have units in hand at a time.
    """

    def __init__(
        self, seconds: float | None, expired: Callable[[Collection[int], str], None], deadly: bool = False
    ) -> None:
        self._seconds = seconds
        self._expired = expired
        self._deadly = deadly
        self._in_hand: set[int] = set()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        # When the timer was started, and when a unit last made progress.
        self._wound = self._advanced = time.monotonic()

    @contextmanager
    def watching(self, unit: int) -> Iterator[None]:
        """Have a unit in hand inside the context."""
        with self._lock:
            self._in_hand.add(unit)
            self._wind()
        try:
            yield
        finally:
            with self._lock:
                self._in_hand.discard(unit)
                self._wind()

    def advance(self) -> None:
        """A unit in hand makes progress; cheap enough to be called at every step of a training."""
        self._advanced = time.monotonic()
        if self._seconds is not None and self._advanced - self._wound > self._seconds / 4:
            with self._lock:
                self._wind()

    def _wind(self) -> None:
        if self._seconds is None:
            return
        self._wound = self._advanced = time.monotonic()
        # First, and in one call: starting a thread lets go of the interpreter, and a unit that hangs may keep it.
        if self._deadly and self._in_hand:
            faulthandler.dump_traceback_later(_WITHOUT_A_WORD * self._seconds, exit=True)
        elif self._deadly:
            faulthandler.cancel_dump_traceback_later()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._in_hand:
            self._start_timer(self._seconds)

    def _start_timer(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _expire(self) -> None:
        with self._lock:
            units = sorted(self._in_hand)
            assert self._seconds is not None
            left = self._advanced + self._seconds - time.monotonic()
            if units and left > 0:
                self._start_timer(left)
                return
        if units:
            self._expired(units, stacks())


def stacks() -> str:
    """What every thread of this process is doing."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"Thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
        if ident != threading.get_ident()
    )
