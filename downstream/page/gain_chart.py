"""Gains against a baseline as bars of a page: zero always in view, beside the noise of the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from downstream.comparison import ComparisonSummary
from downstream.page.gains import PartGain

# The axis shows at least this many points to either side, so that a difference of noise does not look like one.
_LEAST = 1.0
_MOST_TICKS = 6


@dataclass(frozen=True)
class Gain:
    """A gain in points, with its interval if there is one, and those of each seed.

    Attributes:
        name: what gained.
        value: the gain; None where it is not known.
        interval: around it.
        seeds: the gain of each seed.
        note: more, in a few words.
        decided: whether there are seeds and images enough to conclude from the interval.
    """

    name: str
    value: float | None
    interval: tuple[float, float] | None = None
    seeds: Sequence[float] = ()
    note: str = ""
    decided: bool = True

    @property
    def verdict(self) -> str:
        """`good` and `bad` if the interval is above or below 0; `open` if neither, or if nothing follows from it."""
        if self.interval is None or not self.decided:
            return "open"
        return "good" if self.interval[0] > 0 else "bad" if self.interval[1] < 0 else "open"


@dataclass(frozen=True)
class GainChart:
    """Gains on one axis; positions are percent of its width.

    Attributes:
        low, high: ends of the axis, in points.
        gains: the rows.
        noise: standard deviation of the baseline between seeds, in points; None where it is not known.
    """

    low: float
    high: float
    gains: tuple[Gain, ...]
    noise: float | None = None

    @classmethod
    def of(cls, gains: Sequence[Gain], noise: float | None = None) -> GainChart:
        """The chart of some gains, with an axis that holds all of them, 0 and the noise."""
        values = [gain.value for gain in gains if gain.value is not None]
        values += [bound for gain in gains if gain.interval for bound in gain.interval]
        values += [value for gain in gains for value in gain.seeds]
        values += [_LEAST, -_LEAST, *((noise, -noise) if noise else ())]
        margin = 0.04 * (max(values) - min(values))
        return cls(min(values) - margin, max(values) + margin, tuple(gains), noise)

    def at(self, value: float) -> float:
        """The position of a value, in percent of the width."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    def span(self, ends: tuple[float, float]) -> tuple[float, float]:
        """Position and width of what is between two values, in percent."""
        low, high = sorted(map(self.at, ends))
        return low, round(high - low, 2)

    @property
    def verdicts(self) -> dict[str, str]:
        """Name of a gain -> its verdict."""
        return {gain.name: gain.verdict for gain in self.gains}

    @property
    def ticks(self) -> list[float]:
        """Round values within the axis, 0 among them."""
        return ticks(self.low, self.high)


def mix_chart(summary: ComparisonSummary) -> GainChart | None:
    """The gain of each mix that is compared with a baseline; None if there is none.

    The seeds of a baseline are shown around their mean: that is how much a score moves when nothing changes.
    """
    scores = {mix.mix: {seed: 100 * score for seed, score in mix.scores.items()} for mix in summary.mixes}
    gains = []
    for mix in summary.mixes:
        own, name = scores[mix.mix], mix.baseline
        if name is None:
            mean = sum(own.values()) / len(own)
            gains.append(Gain(mix.mix, 0.0, None, [score - mean for score in own.values()], "baseline"))
        elif mix.difference is not None:
            pairs = [score - scores[name][seed] for seed, score in own.items() if seed in scores[name]]
            against = "" if name == summary.baseline else f"against {name}"
            decided = summary.decides(mix)
            gains.append(Gain(mix.mix, 100 * mix.difference, _points(mix.interval), pairs, against, decided))
    spread = next((mix.spread for mix in summary.mixes if mix.mix == summary.baseline), None)
    compared = any(gain.note != "baseline" for gain in gains)
    return GainChart.of(gains, 100 * spread if spread is not None else None) if compared else None


def part_chart(parts: Sequence[PartGain], decided: bool) -> GainChart:
    """The gain of each class or condition of a mix; see `Gain.decided`."""
    return GainChart.of(
        [
            Gain(part.name, 100 * part.difference, _points(part.interval), (), _before_after(part), decided)
            for part in parts
            if part.difference is not None
        ]
    )


def _before_after(part: PartGain) -> str:
    if part.before is None or part.after is None:
        return ""
    images = "" if part.images is None else f", {part.images} {'image' if part.images == 1 else 'images'}"
    return f"{100 * part.before:.1f} → {100 * part.after:.1f}{images}"


def _points(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if interval is None else (100 * interval[0], 100 * interval[1])


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between low and high, about five of them."""
    step = next(
        mantissa * 10.0**exponent
        for exponent in range(-6, 7)
        for mantissa in (1, 2, 5)
        if (high - low) / (mantissa * 10.0**exponent) <= _MOST_TICKS
    )
    first = int(-(-low // step))
    return [round(index * step, 9) for index in range(first, int(high // step) + 1)]
