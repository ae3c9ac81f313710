"""What each class and each condition gains or loses by the synthetic data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from downstream.comparison import ComparisonSummary
from downstream.statistics import CONFIDENCE, MIN_CLASS_IMAGES
from downstream.statistics.counts import ImageCounts, Run
from downstream.statistics.runs import runs_of
from downstream.statistics.summary import MixSummary, interval

# Columns of a store's index that are text and say nothing of what an image shows.
_IDENTITIES = frozenset({"key", "shard", "source", "dataset", "split", "source_key", "source_dataset", "labelled"})
_MOST_VALUES = 12


@dataclass(frozen=True)
class PartGain:
    """Mean IoU of a class, or mIoU of the images of a condition, before and after.

    Attributes:
        name: of the class, or the value of the attribute.
        images: that have it; None where they were not counted.
        before: of the baseline, 0..1; None where no run of it has the class.
        after: of the mix.
        difference: mean over the seeds of both; None where either has no value.
        interval: of this part alone, at 95 %; None where it is not known.
        share: of a class, what it adds to the difference of the mIoU.
    """

    name: str
    images: int | None
    before: float | None
    after: float | None
    difference: float | None
    interval: tuple[float, float] | None = None
    share: float | None = None


@dataclass(frozen=True)
class MixGains:
    """A mix against its baseline, in parts.

    Attributes:
        mix, baseline: names of both.
        classes: those that either has learned, sorted by their difference, the greatest loss first.
        conditions: attribute -> its values, sorted in the same way.
        unlearned: names of the classes that both score 0 on.
        decided: whether there are seeds and images enough to conclude from the intervals.
    """

    mix: str
    baseline: str
    classes: tuple[PartGain, ...]
    conditions: Mapping[str, tuple[PartGain, ...]]
    unlearned: tuple[str, ...] = ()
    decided: bool = True

    @property
    def headline(self) -> str:
        """The classes that account for most of the difference, in one sentence; empty if no class stands out."""
        shares = [(part.name, part.share) for part in self.classes if part.share]
        whole = sum(share for _, share in shares)
        same = sorted((one for one in shares if one[1] * whole > 0), key=lambda one: -abs(one[1]))
        if not same or abs(same[0][1]) < 0.25 * abs(whole):
            return ""
        name, share = same[0]
        part = next(part for part in self.classes if part.name == name)
        moved = (
            "" if part.before is None or part.after is None else f" ({100 * part.before:.1f} to {100 * part.after:.1f})"
        )
        together = f"all classes together move it by {100 * whole:+.1f}"
        return f"{name} alone{moved} moves the mIoU by {100 * share:+.1f} points; {together}."


def mix_gains(
    table: pa.Table,
    summary: ComparisonSummary,
    counts: Mapping[Run, ImageCounts],
    attributes: Mapping[str, Mapping[str, str]],
) -> list[MixGains]:
    """Every mix that is compared with a baseline, the one that gains most first.

    Args:
        table: of `downstream.comparison.comparison_table`.
        summary: of the same runs.
        counts: mix and seed -> what was counted in each image; conditions need those of all runs of a mix.
        attributes: of `attributes_of`.
    """
    rows = table.to_pylist()
    found = []
    for mix in sorted(summary.mixes, key=lambda mix: -mix.gain):
        if mix.baseline is not None and mix.difference is not None:
            pair = [row for row in rows if row["mix"] in (mix.mix, mix.baseline)]
            conditions = _conditions(mix, pair, counts, attributes)
            classes = _classes(mix, pair)
            unlearned = tuple(part.name for part in classes if not (part.before or part.after))
            learned = tuple(part for part in classes if part.name not in unlearned)
            decided = summary.decides(mix)
            found.append(MixGains(mix.mix, mix.baseline, learned, conditions, unlearned, decided))
    return found


def attributes_of(index: pa.Table) -> dict[str, dict[str, str]]:
    """Attribute -> key of an image -> its value, from the index of a store: columns of text with few values."""
    found = {}
    keys = index["key"].to_pylist()
    for name in index.column_names:
        if name in _IDENTITIES or not pa.types.is_string(index[name].type):
            continue
        values = {key: value for key, value in zip(keys, index[name].to_pylist(), strict=True) if value is not None}
        if len(set(values.values())) <= _MOST_VALUES:
            found[name] = values
    return found


def _classes(mix: MixSummary, rows: Sequence[Mapping[str, Any]]) -> tuple[PartGain, ...]:
    counted = {part.name: part for part in mix.classes}
    seeds = [{row["seed"]: row for row in rows if row["mix"] == name} for name in (mix.baseline, mix.mix)]
    shared = sorted(seeds[0].keys() & seeds[1].keys())
    parts = []
    for column in (name for name in rows[0] if name.startswith("iou/")):
        name = column.removeprefix("iou/")
        before, after = ([of[seed][column] for seed in shared] for of in seeds)
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]
        known = counted.get(name)
        difference = known.difference if known else float(np.mean([b - a for a, b in pairs])) if pairs else None
        means = _mean(before), _mean(after)
        if means != (None, None):
            images, within = (known.images, known.interval) if known else (None, None)
            parts.append(PartGain(name, images, *means, difference, within))
    # Where single images are known, mIoU is over the classes that occur in them.
    adding = [part for part in parts if part.difference is not None and (not counted or part.name in counted)]
    shares = {part.name: part.difference / len(adding) for part in adding if part.difference is not None}
    shown = [PartGain(**{**vars(part), "share": shares.get(part.name)}) for part in parts]
    return _sorted(shown)


def _conditions(
    mix: MixSummary,
    rows: Sequence[Mapping[str, Any]],
    counts: Mapping[Run, ImageCounts],
    attributes: Mapping[str, Mapping[str, str]],
) -> dict[str, tuple[PartGain, ...]]:
    """Attribute -> its values, for attributes with more than one value among the images."""
    if not all((row["mix"], row["seed"]) in counts for row in rows):
        return {}
    keys = counts[rows[0]["mix"], rows[0]["seed"]].keys
    found = {}
    for attribute, values in attributes.items():
        of_images = np.array([values.get(key, "") for key in keys])
        names = sorted(set(of_images.tolist()) - {""})
        if len(names) > 1:
            parts = [_condition(name, mix, rows, counts, of_images == name) for name in names]
            found[attribute] = _sorted([part for part in parts if part is not None])
    return found


def _condition(
    name: str,
    mix: MixSummary,
    rows: Sequence[Mapping[str, Any]],
    counts: Mapping[Run, ImageCounts],
    chosen: NDArray[np.bool_],
) -> PartGain | None:
    part = {(row["mix"], row["seed"]): _of_images(counts[row["mix"], row["seed"]], chosen) for row in rows}
    if not next(iter(part.values())).label.any():
        return None
    runs = runs_of(rows, part)
    assert mix.baseline is not None
    before, after, images = runs[mix.baseline], runs[mix.mix], int(chosen.sum())
    difference = after.difference(before) if images >= MIN_CLASS_IMAGES else None
    within = interval(difference[0], CONFIDENCE) if difference is not None else None
    return PartGain(name, images, before.mean, after.mean, after.gain(before), within)


def _of_images(counts: ImageCounts, chosen: NDArray[np.bool_]) -> ImageCounts:
    keys = tuple(key for key, wanted in zip(counts.keys, chosen, strict=True) if wanted)
    areas = (area[chosen] for area in (counts.intersection, counts.label, counts.prediction))
    return ImageCounts(keys, counts.classes, *areas)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _sorted(parts: Sequence[PartGain]) -> tuple[PartGain, ...]:
    return tuple(sorted(parts, key=lambda part: (part.difference is None, part.difference or 0.0, part.name)))
