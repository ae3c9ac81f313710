"""What a run on Ray tells Prometheus, through the metrics endpoint of each node."""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge, Histogram

from pipeline.store import Receipt

# From tests to the longest shards: a tenth of a second to three hours.
_SECONDS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000]
_TAGS = ("stage",)


class StageMetrics:
    """Counts of one stage, tagged with its name.

    ``lumen_units_planned`` is a gauge, ``lumen_units``, ``lumen_samples``, ``lumen_failures`` and ``lumen_dropped``
    are counters, ``lumen_unit_seconds`` is a histogram of the time that shards took in their workers.
    """

    def __init__(self, stage: str, planned: int) -> None:
        self._units = Counter("lumen_units", "Work units done", _TAGS)
        self._samples = Counter("lumen_samples", "Samples written", _TAGS)
        self._failures = Counter("lumen_failures", "Samples quarantined", _TAGS)
        self._dropped = Counter("lumen_dropped", "Samples left out on purpose", _TAGS)
        self._seconds = Histogram("lumen_unit_seconds", "Seconds that a shard took", _SECONDS, _TAGS)
        self._planned = Gauge("lumen_units_planned", "Work units of the run", _TAGS)
        self._tags = {"stage": stage}
        self._total = planned

    def add(self, result: object) -> None:
        """Count a unit by its result, and what its receipt says, where that is the result."""
        # Ray shows a gauge once and then forgets it.
        self._planned.set(self._total, self._tags)
        self._units.inc(1, self._tags)
        if not isinstance(result, Receipt):
            return
        self._seconds.observe(result.seconds, self._tags)
        for counter, count in (
            (self._samples, result.samples),
            (self._failures, result.failures),
            (self._dropped, result.dropped),
        ):
            # Ray refuses to count nothing.
            if count:
                counter.inc(count, self._tags)
