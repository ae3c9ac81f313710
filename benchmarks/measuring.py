"""Shared by the benchmarks: their command line, loops over threads, and times of loops that take turns."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def command_line(description: str | None) -> argparse.ArgumentParser:
    """A parser of options; its help shows the docstring of the script unchanged."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def in_threads(work: Callable[..., object], items: Iterable[object], threads: int) -> None:
    """Do the work for each item, and forget the results."""
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, items):
            pass


def rates_in_turns(
    loops: Mapping[str, Callable[[Path], object]], samples: int, rounds: int, warm_up: int = 0
) -> dict[str, tuple[float, float]]:
    """Median samples a second of each loop, by CPU time of all threads and by wall time.

    Each round runs every loop once, in a new temporary folder. The first ``warm_up`` rounds are not counted: they load
    libraries.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    for number in range(warm_up + rounds):
        for name, loop in loops.items():
            with tempfile.TemporaryDirectory() as folder:
                wall, cpu = time.perf_counter(), time.process_time()
                loop(Path(folder))
                if number >= warm_up:
                    times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {
        name: (samples / statistics.median(t[0] for t in found), samples / statistics.median(t[1] for t in found))
        for name, found in times.items()
    }
