"""How hard the label of each source is, and how many images are painted of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.engine import Failed, Source, WorkUnit
from pipeline.store import Sample

# Metadata of a painted sample: the hardness of its source's label, in nats.
HARDNESS = "hardness"


@dataclass(frozen=True)
class HardSources:
    """A row for each labelled source: its key, the hardness of its label in nats, and its number of variants."""

    keys: Sequence[str]
    hardness: Sequence[float]
    variants: Sequence[int]

    def save(self, path: Path) -> None:
        """Write them as parquet."""
        columns = {"key": pa.array(self.keys, pa.string()), HARDNESS: list(self.hardness), "variants": self.variants}
        pq.write_table(pa.table(columns), path)

    @classmethod
    def load(cls, path: Path) -> HardSources:
        """Read what `save` wrote."""
        table = pq.read_table(path)
        return cls(*(table[name].to_pylist() for name in ("key", HARDNESS, "variants")))


@dataclass
class MarkedSource:
    """Adds the hardness of their labels to the metadata of samples; one without a hardness does not change.

    Attributes:
        samples: the source of samples.
        path: of the hardness; see `HardSources`.
    """

    samples: Source
    path: Path
    _hardness: Mapping[str, float] | None = field(default=None, repr=False, compare=False)

    def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
        """The samples in the unit's order."""
        if self._hardness is None:
            found = HardSources.load(self.path)
            self._hardness = dict(zip(found.keys, found.hardness, strict=True))
        for sample in self.samples.read(unit):
            if isinstance(sample, Failed) or sample.key not in self._hardness:
                yield sample
            else:
                yield replace(sample, metadata={**sample.metadata, HARDNESS: round(self._hardness[sample.key], 4)})
