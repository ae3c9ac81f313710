"""What has become of the attempts at each unit, past the life of the workers that made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

# A hang is tried once more, in a fresh worker: it costs the whole timeout each time.
_MAX_HANGS = 2


@dataclass(frozen=True)
class AtFault:
    """A unit that is not to be tried again, because it hangs or takes every worker down."""

    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class History:
    """The attempts at a unit so far.

    ``begun`` counts those that came to no end, ``fault`` is set where there were too many of them, and ``set_up``
    says whether any worker of the run has ever been ready.
    """

    begun: int
    fault: AtFault | None
    set_up: bool


@dataclass
class Attempts:
    """Counts the attempts at the units of several runs; ``limit`` is that of workers lost with one unit."""

    limit: int
    _begun: Counter[tuple[int, int]] = field(default_factory=Counter)
    _hung: dict[tuple[int, int], list[AtFault]] = field(default_factory=dict)
    _set_up: set[int] = field(default_factory=set)

    def history(self, run: int, unit: int) -> History:
        """What is known of a unit; it is not begun by asking."""
        begun, hung, fault = self._begun[run, unit], self._hung.get((run, unit), []), None
        if len(hung) >= _MAX_HANGS:
            fault = hung[-1]
        elif begun >= self.limit:
            fault = AtFault(f"lost worker: {begun} workers were killed or ran out of memory with this unit in hand")
        return History(begun, fault, run in self._set_up)

    def begin(self, run: int, unit: int) -> None:
        """An attempt begins."""
        self._begun[run, unit] += 1

    def ready(self, run: int) -> None:
        """A worker is set up."""
        self._set_up.add(run)

    def hang(self, run: int, units: Collection[int], reason: str, traceback: str) -> None:
        """A worker with these units in hand hangs, and is about to end."""
        for unit in units:
            self._hung.setdefault((run, unit), []).append(AtFault(reason, traceback))

    def end(self, run: int, unit: int) -> None:
        """An attempt came to its end, so that nothing needs to be known of the unit any more."""
        self._begun.pop((run, unit), None)
        self._hung.pop((run, unit), None)
