"""How many cores of this machine nobody else is using."""

from __future__ import annotations

import os
import time
from pathlib import Path

# Environment of whatever computes, read when torch is loaded: threads that wait for each other sleep, as spinning gets
# hardly anywhere where other processes take their cores. A user's own setting goes first.
THREADING = {"OMP_WAIT_POLICY": "PASSIVE"}

_SECONDS = 0.25
# Of the times that the kernel counts for all cores: idle, and waiting for a disk.
_IDLE = slice(3, 5)


def free_cores(seconds: float = _SECONDS) -> int:
    """Cores of this machine that are idle over a moment, at least 1; all of them where the system does not say.

    Threads of one computation wait for each other at every step, so that one without a core of its own holds up all.
    """
    cores = os.cpu_count() or 1
    before = _times()
    if before is None:
        return cores
    time.sleep(seconds)
    after = _times()
    assert after is not None
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return max(1, min(cores, round(cores * sum(spent[_IDLE]) / max(1, sum(spent)))))


def _times() -> list[int] | None:
    """User, nice, system, idle, waiting, interrupts and stolen time of all cores, in ticks; None on other systems."""
    path = Path("/proc/stat")
    return [int(ticks) for ticks in path.read_text().splitlines()[0].split()[1:9]] if path.is_file() else None
