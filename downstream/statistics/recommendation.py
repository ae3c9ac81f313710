"""One sentence on what to train on, with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from downstream.statistics import CONFIDENCE, MIN_CLASS_IMAGES, MIN_IMAGES, MIN_SEEDS
from downstream.statistics.intervals import seed_difference
from downstream.statistics.planning import MOST_SEEDS, POWER, seeds_needed
from downstream.statistics.question import Question
from downstream.statistics.summary import MixSummary

# In the names of mixes that have any.
_SYNTHETIC = "synthetic"


class Verdict(StrEnum):
    """What a comparison says."""

    USE = "use"
    NO_HELP = "no help"
    OPEN = "open"


def recommend(mixes: Sequence[MixSummary], images: int | None, question: Question) -> tuple[Verdict, str]:
    """What the comparison says, and the sentence that says it, for each baseline.

    - Use a mix: its interval is above 0, and not wholly below the smallest gain. Of several, the one that gains most.
    - It does not help: the intervals of all mixes are below the smallest gain.
    - Else it is open, and the sentence names how many more seeds, or images, are needed.

    Where some mixes have synthetic data, the answer is about these: another one that is better, such as
    `real[augmented]`, is named, and decides nothing. Of several baselines, one that is open leaves the whole comparison
    open.
    """
    compared = [mix for mix in mixes if mix.difference is not None]
    if not compared:
        return Verdict.OPEN, (
            "Too few mixes to compare: train on real only, and on at least one mix with synthetic samples."
        )
    found = [
        _recommend([mix for mix in compared if mix.baseline == baseline], _Evidence(images, question, len(compared)))
        for baseline in dict.fromkeys(mix.baseline for mix in compared)
    ]
    verdicts = {verdict for verdict, _ in found}
    whole = next(verdict for verdict in (Verdict.OPEN, Verdict.USE, Verdict.NO_HELP) if verdict in verdicts)
    return whole, " ".join(sentence for _, sentence in found)


@dataclass(frozen=True)
class _Evidence:
    """What a difference rests on: images, if they were counted, and the number of mixes that are compared."""

    images: int | None
    question: Question
    family: int

    def of(self, mix: MixSummary) -> str:
        """The difference, its interval if any, and the seeds and images behind both."""
        on = "" if self.images is None else f", on {counted(self.images, 'image')}"
        rests = "one seed: no interval"
        if mix.interval is not None:
            low, high = (100 * bound for bound in mix.interval)
            # Where results are looked at after every seed, the interval of one look is wider.
            looks = "" if self.question.looks is None else " for every look"
            together = f" for {self.family} mixes together" if self.family > 1 else ""
            seeds = counted(mix.pairs, "seed")
            rests = f"{CONFIDENCE:.0%} interval{looks}{together} {low:+.1f} to {high:+.1f} over {seeds}"
            # An interval covers less than it says where classes that few images have vary most.
            rare = [of.name for of in mix.classes if of.images < MIN_CLASS_IMAGES]
            if not mix.classes:
                on += ", which count as given"
            elif rare:
                which = " or ".join(rare) if len(rare) <= 3 else f"{len(rare)} of the classes"
                on += f", of which fewer than {MIN_CLASS_IMAGES} have {which}"
        return f"{100 * mix.gain:+.1f} points of mIoU against {mix.baseline} ({rests}{on})"


def _recommend(others: Sequence[MixSummary], evidence: _Evidence) -> tuple[Verdict, str]:
    """The same for the mixes of one baseline."""
    gain, images = evidence.question.smallest_gain, evidence.images
    best = max(others, key=lambda mix: mix.gain)
    if lacking := _lacking(max(mix.pairs for mix in others), images):
        so_far = f"So far {best.mix} scores {evidence.of(best)}, which may be chance."
        return Verdict.OPEN, f"No recommendation: it takes {lacking}. {so_far}"
    asked = [mix for mix in others if _SYNTHETIC in mix.mix] or others
    better = sorted((mix for mix in others if mix.is_better(gain)), key=lambda mix: -mix.gain)
    leads = f"Train on {better[0].mix}: {evidence.of(better[0])}." if better else ""
    helpful = [mix for mix in better if mix in asked]
    if not helpful:
        verdict, answer = _without_help(asked, evidence, known=bool(better))
        return verdict, f"{leads} {answer}".lstrip()
    less = f" The synthetic data helps less: {helpful[0].mix} scores {evidence.of(helpful[0])}."
    return Verdict.USE, leads if helpful[0] is better[0] else leads + less


def _without_help(asked: Sequence[MixSummary], evidence: _Evidence, *, known: bool) -> tuple[Verdict, str]:
    """The answer where no mix that is asked about is better; `known` is whether another one is, which is named."""
    gain = evidence.question.smallest_gain
    best = max(asked, key=lambda mix: mix.gain)
    if all(mix.is_small(gain) for mix in asked):
        no = "The synthetic data does not help: no mix with it" if _SYNTHETIC in best.mix else "Nothing helps: no mix"
        points = f"gains {_points(gain)} of mIoU over {best.baseline}"
        return Verdict.NO_HELP, f"{no} {points}. At best, {best.mix} scores {evidence.of(best)}."
    unclear = max((mix for mix in asked if not mix.is_small(gain)), key=lambda mix: mix.gain)
    unknown = "Whether the synthetic data helps is not known" if known else "No recommendation"
    so_far = f"So far {unclear.mix} scores {evidence.of(unclear)}."
    return Verdict.OPEN, f"{_needed(unclear, gain, evidence.images, unknown)}. {so_far}"


def _needed(mix: MixSummary, gain: float, images: int | None, unknown: str) -> str:
    """What it takes to see a gain of a mix, after what is unknown until then."""
    shown = f"a gain of {_points(gain)} of {mix.mix}"
    if mix.seeds_needed is not None:
        more = max(mix.seeds_needed - mix.pairs, 1)
        verb = "is" if more == 1 else "are"
        return f"{unknown} yet: about {counted(more, 'more seed')} {verb} needed to see {shown}"
    if images is not None and mix.images_needed is not None and mix.images_needed > images:
        needed = f"it takes about {mix.images_needed} images"
        return f"{unknown}: no number of seeds shows {shown} on {images} images; {needed}"
    return f"{unknown}: more than {MOST_SEEDS} seeds are needed to see {shown}"


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
        f"{name} varies by {_points(spread)} of mIoU (standard deviation between {len(scores)} seeds): to see a "
        f"gain of {_points(question.smallest_gain)} with a power of {POWER:.0%} takes {takes} of each mix"
    )


def _lacking(seeds: int, images: int | None) -> str:
    """What a recommendation needs that these seeds and images do not give; empty where they are enough."""
    wanted = [f"at least {MIN_SEEDS} seeds (downstream.seeds=[0,1,2])"] if seeds < MIN_SEEDS else []
    if images is not None and images < MIN_IMAGES:
        wanted.append(f"at least {MIN_IMAGES} held-out images")
    return " and ".join(wanted)


def _points(gain: float) -> str:
    return f"{100 * gain:.1f} points"


def counted(number: int, noun: str) -> str:
    """A number with its noun, as `1 seed` or `2 seeds`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
