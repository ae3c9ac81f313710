"""The candidates of a search among mixes, and how long each is trained. No torch here: the configuration imports it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Annotated

from pydantic import Field, model_validator

from augment.options import Distinct, GuidanceScale, Options, Seed
from downstream.arms import baseline_of, number_text, parse_arm

# Weights of mixes have six decimals.
Ratio = Annotated[float, Field(ge=1e-6, le=1e6)]


@dataclass(frozen=True)
class RungPlan:
    """One rung of a search.

    Attributes:
        mixes: the most that are trained.
        iterations: of each training.
        seeds: of each mix.
    """

    mixes: int
    iterations: int
    seeds: tuple[int, ...]


class SearchOptions(Options):
    """A search for the best mix by successive halving: many mixes train shortly, and the best of them longer."""

    mixes: Annotated[tuple[str, ...], Distinct] = Field(
        default=(), description="candidates, written as in downstream.mixes; those of the lists below are added"
    )
    ks: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Distinct] = Field(
        default=(), description="k of the synthetic images, one candidate each; empty takes images of all ks"
    )
    ratios: Annotated[tuple[Ratio, ...], Distinct] = Field(
        default=(), description="synthetic samples for each real one; empty is 1"
    )
    filters: Annotated[tuple[str, ...], Distinct] = Field(
        default=(), description="filters of the synthetic images, such as 'weather=night'; '' takes all of them"
    )
    guidance_scales: Annotated[tuple[GuidanceScale, ...], Distinct] = Field(
        default=(), description="those of generate.guidance_scales to choose from; empty takes images of all"
    )
    curation: Annotated[tuple[bool, ...], Distinct] = Field(
        default=(), description="true takes curated images, false takes them as they were painted; empty is true"
    )
    real: str = Field(
        default="real", min_length=1, description="real images of the candidates of the lists, such as 'real[10%]'"
    )
    eta: int = Field(default=3, ge=2, le=10, description="one of so many mixes goes on, for so many times as long")
    iterations: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None,
        description="optimizer steps of the first trainings; null takes as few as let the last ones have "
        "downstream.iterations",
    )
    seed: Seed = Field(
        default=1000,
        description="seed of the first trainings; each rung has the next one, and none of downstream.seeds",
    )
    last_seeds: int = Field(default=1, ge=1, le=20, description="trainings of each mix in the last rung")

    @model_validator(mode="after")
    def _known_candidates(self) -> SearchOptions:
        names: dict[str, str] = {}
        for mix in self._as_written():
            name = str(parse_arm(mix))
            if name in names:
                raise ValueError(f"mixes: {names[name]!r} and {mix!r} are the same: leave one out")
            if name == baseline_of(mix):
                raise ValueError(f"mixes: {mix!r} is a baseline, which each rung trains anyway: leave it out")
            names[name] = mix
        if len(names) < 2:
            raise ValueError(
                "a search chooses among two mixes or more: give mixes, or ks, ratios, filters, guidance_scales or "
                "curation with several values"
            )
        return self

    @property
    def candidates(self) -> tuple[str, ...]:
        """All mixes to choose from, by the names that their results have: the given ones, then those of the lists."""
        return tuple(str(parse_arm(mix)) for mix in self._as_written())

    def _as_written(self) -> tuple[str, ...]:
        """The mixes that are given, then every combination of the lists."""
        if not (self.ratios or self.ks or self.filters or self.guidance_scales or self.curation):
            return self.mixes
        # What each value adds to an expression; an empty list adds nothing.
        axes = (
            ["" if ratio == 1 else f"{ratio:.6f}".rstrip("0").rstrip(".") + "*" for ratio in self.ratios],
            [f"k={k}" for k in self.ks],
            self.filters,
            [f"guidance_scale={number_text(scale)}" for scale in self.guidance_scales],
            ["" if curated else "raw" for curated in self.curation],
        )
        return (*self.mixes, *(self._candidate(*values) for values in product(*(axis or ("",) for axis in axes))))

    def _candidate(self, weight: str, *items: str) -> str:
        """A mix with these items in the brackets of its synthetic images, those that say anything."""
        chosen = ",".join(filter(None, items))
        return f"{self.real}+{weight}synthetic" + (f"[{chosen}]" if chosen else "")

    def rungs(self, iterations: int) -> tuple[RungPlan, ...]:
        """The rungs, from many short trainings to few long ones.

        Of n mixes, n / eta go on, rounded up, until eta or fewer are left; of these, the best is the winner.

        Args:
            iterations: of a training of the comparison, which the last rung has if `iterations` is null.
        """
        counts = [len(self.candidates)]
        while counts[-1] > self.eta:
            counts.append(math.ceil(counts[-1] / self.eta))
        last = len(counts) - 1
        first = self.iterations or max(1, iterations // self.eta**last)
        lengths = [first * self.eta**number for number in range(len(counts))]
        if self.iterations is None:
            lengths[last] = iterations
        seeds: list[tuple[int, ...]] = [(self.seed + number,) for number in range(last)]
        seeds.append(tuple(range(self.seed + last, self.seed + last + self.last_seeds)))
        return tuple(map(RungPlan, counts, lengths, seeds))

    def cost(self, iterations: int) -> tuple[int, int]:
        """The most trainings that a search takes, those of baselines among them, and their iterations together.

        Args:
            iterations: of a training of the comparison.
        """
        baselines, rungs = len(self.baselines), self.rungs(iterations)
        trainings = [(rung.mixes + min(baselines, rung.mixes)) * len(rung.seeds) for rung in rungs]
        steps = sum(count * rung.iterations for count, rung in zip(trainings, rungs, strict=True))
        return sum(trainings), steps

    @property
    def baselines(self) -> tuple[str, ...]:
        """The mixes of real images that the candidates are measured against."""
        return tuple(dict.fromkeys(map(baseline_of, self.candidates)))

    def check(self, iterations: int, seeds: Sequence[int], held_back: float) -> None:
        """Check that the search fits the comparison.

        Args:
            iterations: of a training of the comparison.
            seeds: of the comparison.
            held_back: share of the training images that is held back.

        Raises:
            ValueError: it does not.
        """
        if not held_back:
            raise ValueError(
                "search: it measures on the training images that judge.held_back holds back, which is 0: give 0.2"
            )
        rungs = self.rungs(iterations)
        least = self.eta ** (len(rungs) - 1)
        if iterations < least:
            raise ValueError(
                f"search: downstream.iterations={iterations} is too few for {len(rungs)} rungs, each {self.eta} times "
                f"as long as the one before: give at least {least}, or fewer mixes"
            )
        if rungs[-1].iterations > iterations:
            raise ValueError(
                f"search.iterations={self.iterations}: the last of {len(rungs)} rungs would train for "
                f"{rungs[-1].iterations} steps, more than downstream.iterations={iterations}: give at most "
                f"{iterations // least}"
            )
        used = {seed for rung in rungs for seed in rung.seeds}
        if both := sorted(used & set(seeds)):
            raise ValueError(
                f"search.seed={self.seed}: the search would train with the seed {both[0]} of downstream.seeds, which "
                f"confirm its winner: give one above {max(seeds)}"
            )
        for mix in self.candidates:
            if any(begin == end for begin, end in pairwise(parse_arm(mix).bounds(rungs[0].iterations))):
                raise ValueError(
                    f"search: a phase of {mix!r} has no whole step in the {rungs[0].iterations} of the first rung: "
                    "give more downstream.iterations, or search.iterations"
                )
