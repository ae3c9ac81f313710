"""A worker that hangs ends, whatever it was about to do."""

from __future__ import annotations

import subprocess
import sys

# The second unit finds the interpreter taken, for good, while its timer is being started.
TAKEN_WHILE_WINDING = """
import re, threading
from pipeline.engine.watchdog import Watchdog

def held(self):
    re.match(r"(a+)+$", 64 * "a" + "b")

dog = Watchdog(0.5, lambda units, stacks: None, deadly=True)
with dog.watching(0):
    threading.Timer.start = held
    with dog.watching(1):
        pass
"""


def test_worker_ends_where_the_interpreter_is_taken_while_the_watch_is_wound() -> None:
    command = [sys.executable, "-c", TAKEN_WHILE_WINDING]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Timeout" in done.stderr
