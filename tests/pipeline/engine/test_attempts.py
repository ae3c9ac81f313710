"""A unit is given up for what it does itself, and never for what was done beside it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from pipeline.engine.attempts import Attempts
from pipeline.engine.lanes import Lanes

RUN = 1


def test_a_unit_is_given_up_once_it_has_taken_down_as_many_workers_as_are_borne() -> None:
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


def test_a_hang_is_tried_once_more_and_tells_where_it_hung() -> None:
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
