"""Whoever holds a folder holds it until it is done, and no longer."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from augment.errors import UserError
from pipeline.store.location import Location
from pipeline.workspace.lock import sole_run

Lock = Callable[[Path], AbstractContextManager[None]]
LOCKS: dict[str, Lock] = {"run": sole_run, "commit": lambda folder: Location(str(folder)).locked()}


@pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS)
def test_a_child_that_outlives_its_work_does_not_hold_the_folder(tmp_path: Path, lock: Lock) -> None:
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    try:
        with lock(tmp_path):
            child.start()
            with pytest.raises(UserError, match="another run is using it"), sole_run(tmp_path):
                pass
        with sole_run(tmp_path):
            assert child.is_alive()
    finally:
        child.kill()
        child.join()
