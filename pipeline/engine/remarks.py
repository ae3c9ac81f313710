"""Lines that a worker has for the user: collected here, and reported by the driver after the unit."""

from __future__ import annotations

import queue

_LINES: queue.SimpleQueue[str] = queue.SimpleQueue()


def remark(line: str) -> None:
    """Have the driver report a line; from any thread of a worker."""
    _LINES.put(line)


def taken_remarks() -> list[str]:
    """The lines of this process since this was last asked, in order."""
    lines = []
    while not _LINES.empty():
        lines.append(_LINES.get())
    return lines
