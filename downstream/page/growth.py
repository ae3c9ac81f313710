"""How the gain of a mix grows with the number of its synthetic images, in a sentence and a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from downstream.arms import SYNTHETIC, Arm, parse_arm
from downstream.charts import Point, trade_off_chart
from downstream.comparison import ComparisonSummary
from downstream.statistics import CONFIDENCE, MIN_SEEDS
from downstream.statistics.growth import Growth, fit_growth
from downstream.statistics.summary import Interval, MixSummary

_FEWEST = 3


@dataclass(frozen=True)
class GrowthOfMix:
    """Mixes that differ in the number of their synthetic images alone.

    Attributes:
        sentence: how the gain grows, with intervals, and where that ends.
        chart: the gain over the number of images, as SVG.
    """

    sentence: str
    chart: Markup


def growths(summary: ComparisonSummary, images: Mapping[str, int]) -> list[GrowthOfMix]:
    """The growth of each family of mixes with three numbers of images or more.

    Args:
        summary: of the comparison.
        images: mix -> synthetic images that it may take.
    """
    families: dict[tuple[str, str], dict[int, MixSummary]] = {}
    for mix in summary.mixes:
        if mix.baseline is not None and images.get(mix.mix):
            family = families.setdefault((_without_variants(mix.mix), mix.baseline), {})
            family.setdefault(images[mix.mix], mix)
    scores = {mix.mix: mix.scores for mix in summary.mixes}
    return [
        _growth(name, dict(sorted(of.items())), scores[baseline])
        for (name, baseline), of in families.items()
        if len(of) >= _FEWEST
    ]


def _without_variants(mix: str) -> str:
    """A mix without the filters by variant, which choose how many images of each layout there are."""
    arm = parse_arm(mix)
    phases = tuple(
        replace(
            phase,
            terms=tuple(
                replace(term, where=tuple(one for one in term.where if one[0] != "variant"))
                if term.source == SYNTHETIC
                else term
                for term in phase.terms
            ),
        )
        for phase in arm.phases
    )
    return str(Arm(phases))


def _growth(name: str, mixes: Mapping[int, MixSummary], before: Mapping[int, float]) -> GrowthOfMix:
    seeds = sorted(set(before).intersection(*(mix.scores for mix in mixes.values())))
    numbers = ", ".join(f"{number:,}" for number in mixes)
    gains = {number: [mix.scores[seed] - before[seed] for seed in seeds] for number, mix in mixes.items()}
    points = [Point(f"{number:,}", number, 100 * sum(of) / len(of)) for number, of in gains.items() if of]
    chart = trade_off_chart(points, "synthetic images", "gain in points of mIoU", "", "") if points else Markup()
    if len(seeds) < MIN_SEEDS:
        return GrowthOfMix(
            f"{name} was trained with {numbers} synthetic images: a fit of how its gain grows takes {MIN_SEEDS} seeds.",
            chart,
        )
    return GrowthOfMix(sentence(name, fit_growth(gains), list(mixes), len(seeds)), chart)


def sentence(name: str, growth: Growth, numbers: Sequence[int], seeds: int) -> str:
    """How a gain grows, and where that ends if the numbers of images say it."""
    (at, of_at), (more, of_more) = growth.at_most, growth.doubled
    said = (
        f"{name} gains {100 * at:+.1f} points of mIoU with {growth.most:,} synthetic images by a fit to "
        f"{len(numbers)} numbers of them ({_interval(of_at)} over {seeds} seeds); twice as many would add "
        f"{100 * more:+.1f} ({_interval(of_more)})."
    )
    if of_at[0] <= 0 <= of_at[1]:
        return f"{said} That is not distinguished from no gain, so where it ends is not stated."
    if growth.ends_at is None:
        return f"{said} Where it ends cannot be determined from at most {growth.most:,} images."
    return (
        f"{said} The fit ends at {100 * growth.limit:+.1f} points; nine tenths of that take {growth.ends_at:,} images."
    )


def _interval(bounds: Interval) -> str:
    return f"{CONFIDENCE:.0%} interval {100 * bounds[0]:+.1f} to {100 * bounds[1]:+.1f}"
