"""Read every image of a subject once, on all cores of this machine."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from pipeline.engine import Failed, Source, WorkUnit
from pipeline.inspection.duplicates import image_hash
from pipeline.inspection.statistics import Statistics
from pipeline.inspection.subject import UNIT
from pipeline.taxonomies import Taxonomy

# With fewer images a worker process takes longer to start than it saves.
_WORTH_A_PROCESS = 512
_UNITS_AHEAD = 4


@dataclass
class Findings:
    """Statistics of some images, their hashes by key, and how many are too flat to have a hash."""

    statistics: Statistics
    hashes: dict[str, int] = field(default_factory=dict)
    flat: int = 0

    def merge(self, other: Findings) -> None:
        """Add the findings in other images."""
        self.statistics.merge(other.statistics)
        self.hashes |= other.hashes
        self.flat += other.flat


@dataclass(frozen=True)
class Examine:
    """Reads the images of a unit and counts what they hold; one sample is in memory at a time."""

    source: Source
    taxonomy: Taxonomy | None

    def __call__(self, unit: WorkUnit) -> Findings:
        """The findings in one unit."""
        findings = Findings(Statistics(len(self.taxonomy) if self.taxonomy else 0))
        ignore_index = self.taxonomy.ignore_index if self.taxonomy else 255
        for sample in self.source.read(unit):
            if isinstance(sample, Failed):
                findings.statistics.fail(sample.key, sample.reason)
                continue
            findings.statistics.add(sample, ignore_index)
            if sample.image is not None:
                if (value := image_hash(sample.image)) is None:
                    findings.flat += 1
                else:
                    findings.hashes[sample.key] = value
        return findings


def examined(
    examine: Callable[[WorkUnit], Findings], units: Sequence[WorkUnit], workers: int | None = None
) -> Iterator[tuple[WorkUnit, Findings]]:
    """Each unit with its findings, as they complete; ``workers`` None is a process for each core.

    Only a few units for each worker are submitted at a time, so memory does not grow with the number of units.
    """
    workers = min(workers or os.cpu_count() or 1, -(-len(units) * UNIT // _WORTH_A_PROCESS))
    if workers <= 1:
        yield from ((unit, examine(unit)) for unit in units)
        return
    # Forking a process that holds the threads of a library can hang; a fresh interpreter cannot.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        left = iter(units)
        running: dict[Future[Findings], WorkUnit] = {}
        while True:
            for unit in islice(left, workers * _UNITS_AHEAD - len(running)):
                running[pool.submit(examine, unit)] = unit
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
