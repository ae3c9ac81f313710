"""What has become of the attempts at each unit, past the life of the workers that made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

# A hang is tried once more, in a fresh worker: it costs the whole timeout each time.
_MAX_HANGS = 2


@dataclass(frozen=True)
class AtFault:
    """What is not to be tried again, because it hangs or takes every worker down: a unit, or the set-up."""

    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class History:
    """The attempts at a unit so far.

    ``begun`` counts those that came to no end, and ``fault`` is set where there were too many of them; ``in_setup``
    says that no unit can be blamed for it, because two set-ups hung, or because no worker of the run was ever ready.
    """

    begun: int
    fault: AtFault | None
    in_setup: bool


@dataclass
class Attempts:
    """Counts the attempts at the units of several runs; ``limit`` is that of workers lost with one unit."""

    limit: int
    _begun: Counter[tuple[int, int]] = field(default_factory=Counter)
    _hung: dict[tuple[int, int], list[AtFault]] = field(default_factory=dict)
    _set_up: set[int] = field(default_factory=set)
    _hung_in_setup: dict[int, list[AtFault]] = field(default_factory=dict)

    def history(self, run: int, unit: int) -> History:
        """What is known of a unit; it is not begun by asking."""
        begun, hung, fault = self._begun[run, unit], self._hung.get((run, unit), []), None
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
            self._hung.setdefault((run, unit), []).append(AtFault(reason, traceback))

    def hang_in_setup(self, run: int, reason: str, traceback: str) -> None:
        """A worker hangs before it is ready, which is the fault of no unit, and is about to end."""
        self._hung_in_setup.setdefault(run, []).append(AtFault(reason, traceback))

    def end(self, run: int, unit: int) -> None:
        """An attempt came to its end, so that nothing needs to be known of the unit any more."""
        self._begun.pop((run, unit), None)
        self._hung.pop((run, unit), None)
