"""The trial of a curation: how much it believes of pairs that are surely wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from pipeline.engine import Failed, FittingBatches, Ok, Resources, Source, Stage, WorkUnit
from pipeline.stages.judging import Curate
from pipeline.store import JSON, Sample

# Images of each kind to judge: enough for shares to within a few points, and seconds of work.
IMAGES = 32
# The kinds of pairs: as generated; with the label of another image; painted without layout.
OWN, EXCHANGED, WITHOUT_LAYOUT = "own labels", "exchanged labels", "k = 0"


@dataclass(frozen=True)
class Believed:
    """What curation believes of pairs of one kind.

    Attributes:
        images: number of pairs with a labelled pixel.
        share: share of their labelled pixels that is believed, 0..1; 0 without pairs.
        dropped: pairs that are dropped as a whole.
    """

    images: int
    share: float
    dropped: int


@dataclass
class Trial:
    """Judges synthetic pairs with their own and with exchanged labels, and images that are painted without a layout.

    Attributes:
        curate: the curation.
        synthetic: the store of synthetic images.
        painter: paints images on layouts; it gets units with k = 0.
        layouts: real samples with layout and label, for the painter.
    """

    curate: Curate
    synthetic: Source
    painter: Stage
    layouts: Source
    resources: Resources
    batch_size: int
    name: str = "curate"

    def setup(self) -> None:
        """Load what curation needs; the painter is loaded by the unit that needs it."""
        self.curate.setup()

    def run(self, unit: WorkUnit) -> Mapping[str, Believed]:
        """What is believed of the pairs of a unit, by their kind."""
        if "k" in unit.params:
            return {WITHOUT_LAYOUT: self._believed(self._painted(unit))}
        own = [sample for sample in self.synthetic.read(unit) if not isinstance(sample, Failed)]
        return {OWN: self._believed(own), EXCHANGED: self._believed(exchanged(own))}

    def _painted(self, unit: WorkUnit) -> list[Sample]:
        self.painter.setup()
        samples = [sample for sample in self.layouts.read(unit) if not isinstance(sample, Failed)]
        batches = FittingBatches(self.name, self.painter.batch_size)
        outcomes = batches.run(samples, lambda batch: self.painter.process(unit, batch))
        return [outcome.sample for outcome in outcomes if isinstance(outcome, Ok)]

    def _believed(self, samples: Sequence[Sample]) -> Believed:
        verdicts = FittingBatches(self.name, self.batch_size).run(samples, self.curate.verdicts)
        found = [verdict for verdict in verdicts if verdict is not None and verdict.labelled]
        pixels = sum(verdict.labelled for verdict in found)
        believed = sum(int(verdict.reliable.sum()) for verdict in found)
        dropped = sum(verdict.reason is not None for verdict in found)
        return Believed(len(found), round(believed / pixels, 4) if pixels else 0.0, dropped)


def exchanged(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with labels of others, half the list away; those whose partner has the same source are left out."""
    half = len(samples) // 2
    pairs = zip(samples, [*samples[half:], *samples[:half]], strict=True)
    return [
        replace(one, label=other.label)
        for one, other in pairs
        if one.metadata.get("source_key") != other.metadata.get("source_key")
    ]


def trial_units(sources: Mapping[str, str], real: Sequence[str]) -> list[WorkUnit]:
    """The units of a trial, of at most `IMAGES` samples each.

    Args:
        sources: key of each synthetic training image -> key of its source.
        real: keys of the real images with layouts.
    """
    by_source = sorted(sources, key=lambda key: (sources[key], key))
    units = [
        WorkUnit("trial-synthetic", _spread(by_source)),
        WorkUnit("trial-k00-v00", _spread(sorted(real)), {"k": 0, "variant": 0}),
    ]
    return [unit for unit in units if unit.keys]


def _spread(keys: Sequence[str]) -> tuple[str, ...]:
    count = min(IMAGES, len(keys))
    return tuple(keys[len(keys) * number // count] for number in range(count))


def facts_of(parts: Sequence[Mapping[str, Believed]]) -> dict[str, JSON]:
    """The result of a trial as it is recorded."""
    return {kind: asdict(found) for part in parts for kind, found in part.items()}


def trial_lines(trial: Mapping[str, JSON], blind: Sequence[str]) -> list[str]:
    """What a trial has found, in words."""
    kinds = [
        f"{kind}: {100 * found['share']:.0f} % of the pixels believed, {found['dropped']} of {found['images']} images "
        "dropped"
        for kind, found in trial.items()
        if isinstance(found, dict) and found["images"]
    ]
    lines = [f"curate: its own trial: {'; '.join(kinds)}"] if kinds else []
    if blind:
        lines.append(
            f"curate: wrong labels of {', '.join(blind)} are hardly found, because the judge does not distinguish them "
            "from others: see docs/curation.md"
        )
    return lines
