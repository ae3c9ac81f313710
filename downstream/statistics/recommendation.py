"""One sentence on what to train on, with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from downstream.statistics import CONFIDENCE, MIN_IMAGES, MIN_SEEDS
from downstream.statistics.intervals import seed_difference
from downstream.statistics.planning import MOST_SEEDS, POWER, seeds_needed
from downstream.statistics.summary import MixSummary, Question


class Verdict(StrEnum):
    """What a comparison says."""

    USE = "use"
    NO_HELP = "no help"
    OPEN = "open"


def recommend(
    mixes: Sequence[MixSummary], baseline: str | None, images: int | None, question: Question
) -> tuple[Verdict, str]:
    """What the comparison says, and the sentence that says it.

    - Use a mix: its interval is above 0, and not wholly below the smallest gain. Of several, the one that gains most.
    - It does not help: the intervals of all mixes are below the smallest gain.
    - Else it is open, and the sentence names how many more seeds, or images, are needed.
    """
    others = [mix for mix in mixes if mix.difference is not None]
    if baseline is None or not others:
        return Verdict.OPEN, (
            "Too few mixes to compare: train on real only, and on at least one mix with synthetic samples."
        )
    best = max(others, key=lambda mix: mix.gain)
    if lacking := _lacking(max(mix.pairs for mix in others), images):
        so_far = f"So far {_scores(best, baseline, images, question, len(others))}, which may be chance."
        return Verdict.OPEN, f"No recommendation: it takes {lacking}. {so_far}"
    gain = question.smallest_gain
    if better := [mix for mix in others if mix.is_better(gain)]:
        best = max(better, key=lambda mix: mix.gain)
        return Verdict.USE, f"Train on {best.mix}: {_points(best, baseline, images, question, len(others))}."
    at_best = _scores(best, baseline, images, question, len(others))
    if all(mix.is_small(gain) for mix in others):
        no = f"The synthetic data does not help: no mix gains {_points_of(gain)} of mIoU over {baseline}"
        return Verdict.NO_HELP, f"{no}. At best, {at_best}."
    unclear = max((mix for mix in others if not mix.is_small(gain)), key=lambda mix: mix.gain)
    shown = f"a gain of {_points_of(gain)} of {unclear.mix}"
    so_far = f"So far {_scores(unclear, baseline, images, question, len(others))}."
    if unclear.seeds_needed is not None:
        more = counted(max(unclear.seeds_needed - unclear.pairs, 1), "more seed")
        verb = "is" if more.startswith("1 ") else "are"
        return Verdict.OPEN, f"No recommendation yet: about {more} {verb} needed to see {shown}. {so_far}"
    if images is not None and unclear.images_needed is not None and unclear.images_needed > images:
        needed = f"it takes about {unclear.images_needed} images"
        return (
            Verdict.OPEN,
            f"No recommendation: no number of seeds shows {shown} on {images} images; {needed}. {so_far}",
        )
    return Verdict.OPEN, f"No recommendation: more than {MOST_SEEDS} seeds are needed to see {shown}. {so_far}"


def noise(name: str, scores: Sequence[float], question: Question, others: int) -> str:
    """How much the scores of one mix vary between seeds, and what that means for a gain; empty for one seed.

    The number of seeds is for differences of twice the variance, as of seeds that are not correlated between mixes.

    Args:
        name: of the mix.
        scores: mIoU of each seed, 0..1.
        question: what is asked.
        others: mixes that are compared with it.
    """
    if len(scores) < 2:
        return ""
    spread = float(np.std(scores, ddof=1))
    expected = seed_difference(np.sqrt(2) * np.asarray(scores, np.float64))
    needed = seeds_needed(expected, question.smallest_gain, (1 - CONFIDENCE) / max(others, 1))
    takes = f"more than {MOST_SEEDS} seeds" if needed is None else f"about {needed} seeds"
    return (
        f"{name} varies by {_points_of(spread)} of mIoU (standard deviation between {len(scores)} seeds): to see a "
        f"gain of {_points_of(question.smallest_gain)} with a power of {POWER:.0%} takes {takes} of each mix"
    )


def _lacking(seeds: int, images: int | None) -> str:
    """What a recommendation needs that these seeds and images do not give; empty where they are enough."""
    wanted = [f"at least {MIN_SEEDS} seeds (downstream.seeds=[0,1,2])"] if seeds < MIN_SEEDS else []
    if images is not None and images < MIN_IMAGES:
        wanted.append(f"at least {MIN_IMAGES} held-out images")
    return " and ".join(wanted)


def _scores(mix: MixSummary, baseline: str, images: int | None, question: Question, family: int) -> str:
    return f"{mix.mix} scores {_points(mix, baseline, images, question, family)}"


def _points(mix: MixSummary, baseline: str, images: int | None, question: Question, family: int) -> str:
    """The difference, its interval if any, and the seeds and images behind both."""
    on = "" if images is None else f", on {counted(images, 'image')}"
    rests = "one seed: no interval"
    if mix.interval is not None:
        low, high = (100 * bound for bound in mix.interval)
        # Where results are looked at after every seed, an interval at one look is wider than 95 %.
        kind = f"{CONFIDENCE:.0%} interval" if question.looks is None else f"{CONFIDENCE:.0%} interval for every look"
        together = f" for {family} mixes together" if family > 1 else ""
        rests = f"{kind}{together} {low:+.1f} to {high:+.1f} over {counted(mix.pairs, 'seed')}"
        if not mix.classes:
            on += ", which count as given"
    return f"{100 * mix.gain:+.1f} points of mIoU against {baseline} ({rests}{on})"


def _points_of(gain: float) -> str:
    return f"{100 * gain:.1f} points"


def counted(number: int, noun: str) -> str:
    """A number with its noun, as `1 seed` or `2 seeds`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
