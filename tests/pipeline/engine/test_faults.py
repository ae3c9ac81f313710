"""A unit is given up for its own faults only, and a worker that hangs ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from pipeline.engine.faults import Attempts, Lanes

RUN = 1

# The second unit finds the interpreter taken, for good, while its timer is being started.
HELD_WHILE_STARTING = """
import re, threading
from pipeline.engine.faults import Watchdog

def held(self):
    re.match(r"(a+)+$", 64 * "a" + "b")

dog = Watchdog(0.5, lambda units, stacks: None, deadly=True)
with dog.watching(0):
    threading.Timer.start = held
    with dog.watching(1):
        pass
"""


def test_a_unit_is_given_up_once_it_has_taken_down_as_many_workers_as_the_limit() -> None:
    attempts = Attempts(limit=3)
    for lost in range(3):
        assert attempts.history(RUN, 7).fault is None
        assert attempts.history(RUN, 7).begun == lost
        attempts.begin(RUN, 7)
    fault = attempts.history(RUN, 7).fault
    assert fault is not None
    assert fault.reason.startswith("lost worker: 3 workers")
    assert attempts.history(RUN, 8).fault is None
    assert attempts.history(RUN + 1, 7).fault is None


def test_a_hang_is_tried_once_more_and_says_where_it_hung() -> None:
    attempts = Attempts(limit=5)
    for _ in range(2):
        assert attempts.history(RUN, 7).fault is None
        attempts.begin(RUN, 7)
        attempts.begin(RUN, 8)
        attempts.hang(RUN, [7, 8], "hung: no end", "in read")
        attempts.end(RUN, 8)
    fault = attempts.history(RUN, 7).fault
    assert fault is not None
    assert (fault.reason, fault.traceback) == ("hung: no end", "in read")
    assert attempts.history(RUN, 8).fault is None


def test_set_ups_that_hang_are_the_fault_of_no_unit() -> None:
    attempts = Attempts(limit=5)
    attempts.ready(RUN)
    for _ in range(2):
        assert attempts.history(RUN, 7).fault is None
        attempts.begin(RUN, 7)
        attempts.hang_in_setup(RUN, "hung: no end", "in load")
    for unit in (7, 8):
        history = attempts.history(RUN, unit)
        assert history.fault is not None
        assert (history.in_setup, history.fault.traceback) == (True, "in load")
    assert attempts.history(RUN + 1, 7).fault is None


def test_a_unit_alone_shares_its_worker_with_none_and_others_share_it() -> None:
    lanes = Lanes(3)
    together = threading.Barrier(3)
    inside: set[int] = set()
    seen: dict[int, int] = {}
    lock = threading.Lock()

    def run(number: int) -> None:
        alone = number % 4 == 3
        with lanes.entered(alone):
            with lock:
                inside.add(number)
                seen[number] = len(inside)
            if number < 3:
                together.wait(60)
            with lock:
                if alone:
                    assert inside == {number}
                assert len(inside) <= 3
                inside.remove(number)

    with ThreadPoolExecutor(12) as pool:
        for future in [pool.submit(run, number) for number in range(40)]:
            future.result()
    assert len(seen) == 40


def test_worker_ends_where_code_holds_the_interpreter_while_the_timer_starts() -> None:
    command = [sys.executable, "-c", HELD_WHILE_STARTING]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Timeout" in done.stderr


def test_workers_that_hang_together_count_once_with_the_stacks_of_all() -> None:
    attempts = Attempts(limit=5)
    attempts.begin(0, 0)
    for stack in ("in an exchange", "in a disk"):
        attempts.hang(0, [0], "hung: no step was taken within 3 s", stack)
    assert attempts.history(0, 0).fault is None
    attempts.begin(0, 0)
    for stack in ("in an exchange", "in a disk again"):
        attempts.hang(0, [0], "hung: no step was taken within 3 s", stack)
    fault = attempts.history(0, 0).fault
    assert fault is not None and fault.traceback == "in an exchange\nin a disk again"
