"""Which unit is at fault where a worker hangs or is lost: notice a hang, count attempts, run a suspect alone."""

from __future__ import annotations

import faulthandler
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# A hang is tried once more, in a fresh worker: it costs the whole timeout each time.
_MAX_HANGS = 2
# Past this multiple of the timeout the process ends without a report: code that hangs holds the interpreter.
_END_WITHOUT_REPORT = 1.5


@dataclass(frozen=True)
class AtFault:
    """Why a unit, or the set-up, is not tried again: it hangs, or takes every worker down."""

    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class History:
    """The attempts at a unit so far.

    Attributes:
        begun: attempts that did not end.
        fault: set where too many of them did not end.
        in_setup: whether no unit can be blamed, because two set-ups hung or no worker of the run was ever ready.
    """

    begun: int
    fault: AtFault | None
    in_setup: bool


@dataclass
class Attempts:
    """Counts the attempts at the units of several runs, and outlives the workers that make them.

    ``limit`` is how many workers may be lost with one unit.
    """

    limit: int
    _begun: Counter[tuple[int, int]] = field(default_factory=Counter)
    # By the number of the attempt: the workers that train a unit together hang together.
    _hung: dict[tuple[int, int], dict[int, AtFault]] = field(default_factory=dict)
    _set_up: set[int] = field(default_factory=set)
    _hung_in_setup: dict[int, list[AtFault]] = field(default_factory=dict)

    def history(self, run: int, unit: int) -> History:
        """The attempts at a unit; this call does not count as one."""
        begun, hung, fault = self._begun[run, unit], list(self._hung.get((run, unit), {}).values()), None
        setups = self._hung_in_setup.get(run, [])
        if len(setups) >= _MAX_HANGS:
            return History(begun, setups[-1], in_setup=True)
        if len(hung) >= _MAX_HANGS:
            fault = hung[-1]
        elif begun >= self.limit:
            fault = AtFault(f"lost worker: {begun} workers were killed or ran out of memory with this unit in hand")
        return History(begun, fault, in_setup=run not in self._set_up)

    def begin(self, run: int, unit: int) -> None:
        """An attempt begins."""
        self._begun[run, unit] += 1

    def ready(self, run: int) -> None:
        """A worker is set up."""
        self._set_up.add(run)

    def hang(self, run: int, units: Collection[int], reason: str, traceback: str) -> None:
        """A worker with these units in hand hangs, and is about to end."""
        for unit in units:
            hung, attempt = self._hung.setdefault((run, unit), {}), self._begun[run, unit]
            stacks = f"{hung[attempt].traceback}\n{traceback}" if attempt in hung else traceback
            hung[attempt] = AtFault(reason, stacks)

    def hang_in_setup(self, run: int, reason: str, traceback: str) -> None:
        """A worker hangs before it is ready, which is the fault of no unit, and is about to end."""
        self._hung_in_setup.setdefault(run, []).append(AtFault(reason, traceback))

    def end(self, run: int, unit: int) -> None:
        """An attempt ended, so the earlier ones no longer count."""
        self._begun.pop((run, unit), None)
        self._hung.pop((run, unit), None)


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
        # One at a time: two that hold some of the lanes and want all would wait for ever.
        with self._door:
            for _ in range(taken):
                self._free.acquire()
        try:
            yield
        finally:
            self._free.release(taken)


class Watchdog:
    """Calls ``expired`` where units are in hand and none begins, advances or ends for ``seconds``; None never does.

    ``expired`` gets the units in hand and the stacks of all threads, in a thread of its own. With ``deadly`` the
    process ends somewhat later, even where no Python code can run any more; only one deadly watchdog of a process may
    have units in hand at a time.
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
        self._timer_started = self._advanced = time.monotonic()

    @contextmanager
    def watching(self, unit: int) -> Iterator[None]:
        """Have a unit in hand inside the context."""
        with self._lock:
            self._in_hand.add(unit)
            self._restart_timer()
        try:
            yield
        finally:
            with self._lock:
                self._in_hand.discard(unit)
                self._restart_timer()

    def advance(self) -> None:
        """A unit in hand makes progress; cheap enough to be called at every step of a training."""
        self._advanced = time.monotonic()
        if self._seconds is not None and self._advanced - self._timer_started > self._seconds / 4:
            with self._lock:
                self._restart_timer()

    def _restart_timer(self) -> None:
        if self._seconds is None:
            return
        self._timer_started = self._advanced = time.monotonic()
        # First, and in one call: starting a thread releases the interpreter, and a unit that hangs may keep it.
        if self._deadly and self._in_hand:
            faulthandler.dump_traceback_later(_END_WITHOUT_REPORT * self._seconds, exit=True)
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
            self._expired(units, _stacks())


def _stacks() -> str:
    """What every thread of this process is doing."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"Thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
        if ident != threading.get_ident()
    )
