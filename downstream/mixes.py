"""Which sample is at each position of a training: the proportions of a mix, its phases, and its orders."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from augment.errors import UserError
from downstream.arms import REAL, SYNTHETIC, Arm, Phase, Term
from pipeline.datasets.sampling import rare_class_probabilities
from pipeline.store import JSON
from pipeline.store.index import as_text

# Entries of the longest table of turns.
_MOST_TURNS = 1_000_000


@dataclass(frozen=True)
class Mix:
    """Proportion of real and synthetic samples in training: an arm in Python, where no expression is needed.

    Attributes:
        name: its name in the comparison, e.g. ``real+synthetic``.
        real: weight of the real samples; only the ratio to `synthetic` matters.
        synthetic: weight of the synthetic samples.
        where: metadata columns of the synthetic store -> values to keep, e.g. ``{"k": [5, 10]}``.

    Raises:
        UserError: a weight is negative or both are zero.
    """

    name: str
    real: float
    synthetic: float
    where: Mapping[str, Sequence[JSON]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.real < 0 or self.synthetic < 0 or self.real + self.synthetic == 0:
            raise UserError(
                f"mix {self.name!r}: weights real {self.real} and synthetic {self.synthetic} "
                "must not be negative, and one must be above 0"
            )

    @property
    def arm(self) -> Arm:
        """The same as an arm."""
        where = tuple((column, tuple(map(as_text, values))) for column, values in self.where.items())
        terms = (Term(REAL, Fraction(str(self.real))), Term(SYNTHETIC, Fraction(str(self.synthetic)), where=where))
        return Arm((Phase(tuple(term for term in terms if term.weight)),))


class SeededIndex(NamedTuple):
    """The index of a sample in a dataset, and the seed of its augmentation this time."""

    sample: int
    seed: int


def derived_seed(*parts: int | str) -> int:
    """A 32-bit seed from the identity of a random event, the same in every process and version of Python."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


class RareClasses:
    """Chooses images so that rare classes are seen often: a class by its rarity, then an image that shows it.

    Class c is chosen with P(c) ~ exp((1 - f_c) / T), f_c its share of the pixels (Hoyer et al., DAFormer, CVPR 2022,
    equation 9); a class without pixels is never chosen.

    Args:
        pixels: of each class in each image, int64 [N, C].
        temperature: T; the lower, the more often the rarest classes.
    """

    def __init__(self, pixels: NDArray[np.int64], temperature: float) -> None:
        shown = np.flatnonzero(pixels.sum(axis=0))
        self._images = [np.flatnonzero(pixels[:, number]) for number in shown]
        shares = pixels.sum(axis=0)[shown] / pixels.sum()
        self._bounds = rare_class_probabilities(shares, temperature).cumsum()

    def at(self, seed: int) -> int:
        """The row of the image that a seed chooses."""
        of_class, of_image = np.random.default_rng(seed).random(2)
        images = self._images[min(int(np.searchsorted(self._bounds, of_class, "right")), len(self._images) - 1)]
        return int(images[int(of_image * len(images))])


@dataclass
class SampledPart:
    """The samples of one term.

    Attributes:
        name: decides the order, together with the seed; parts of other mixes with the same name have the same one.
        indices: of its samples in the dataset.
        weight: how often they are sampled, compared with the other parts.
        rare: chooses among them by class; None shuffles all of them for every epoch.
    """

    name: str
    indices: Sequence[int]
    weight: Fraction
    rare: RareClasses | None = None
    _order: tuple[int, np.ndarray] | None = None

    def at(self, turn: int, seed: int) -> int:
        """The sample of the part at its n-th turn, counted from 0."""
        if self.rare is not None:
            return self.indices[self.rare.at(derived_seed("rare", seed, self.name, turn))]
        epoch, place = divmod(turn, len(self.indices))
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng(derived_seed("order", seed, self.name, epoch))
            self._order = epoch, rng.permutation(len(self.indices))
        return self.indices[self._order[1][place]]


class Turns:
    """Which part has each position, so that all parts have their shares.

    Of two parts, any n consecutive positions have their shares to within one. Of more parts, the positions from the
    first to any other have; the n-th sample of a part with share s is between the positions floor(n / s) and
    ceil((n + 1) / s), and of the parts that may have a position, the one with the nearest end has it (the P-fair
    schedule of Baruah et al., Proportionate progress, Algorithmica 1996, on one processor).

    Raises:
        UserError: three or more weights have so many digits that the pattern of turns is too long.
    """

    def __init__(self, weights: Sequence[Fraction]) -> None:
        scale = lcm(*(weight.denominator for weight in weights))
        whole = [int(weight * scale) for weight in weights]
        common = int(np.gcd.reduce(whole))
        self.weights = [weight // common for weight in whole]
        self.period = sum(self.weights)
        # The formula for two needs no table.
        if len(weights) > 2:
            if self.period > _MOST_TURNS:
                raise UserError(
                    f"weights {', '.join(f'{float(w):g}' for w in weights)}: the pattern of three or more terms has "
                    f"{self.period} samples: give weights with fewer digits"
                )
            self._parts, self._before = self._table()

    def at(self, position: int) -> tuple[int, int]:
        """The part at a position, and how many positions before are its own."""
        if len(self.weights) == 1:
            return 0, position
        if len(self.weights) == 2:
            before, after = (end * self.weights[1] // self.period for end in (position, position + 1))
            return (1, before) if after > before else (0, position - before)
        periods, place = divmod(position, self.period)
        part = int(self._parts[place])
        return part, periods * self.weights[part] + int(self._before[place])

    def _table(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        parts, before = (np.zeros(self.period, np.int64) for _ in range(2))
        taken = [0] * len(self.weights)
        for position in range(self.period):
            ends = [
                (-(-(count + 1) * self.period // weight), part)
                for part, (count, weight) in enumerate(zip(taken, self.weights, strict=True))
                if count * self.period // weight <= position
            ]
            _, part = min(ends)
            parts[position], before[position] = part, taken[part]
            taken[part] += 1
        return parts, before


@dataclass(frozen=True)
class SampledPhase:
    """Parts that are mixed from a position on."""

    start: int
    parts: Sequence[SampledPart]
    turns: Turns


def sampled_phase(start: int, parts: Sequence[SampledPart]) -> SampledPhase:
    """The parts by their weights, from a position on."""
    return SampledPhase(start, parts, Turns([part.weight for part in parts]))


class MixSampler(Sampler[SeededIndex]):
    """Samples the parts of a mix in their proportions, phase after phase.

    The sample at a position depends only on the seed and the position, so training can resume anywhere. Each part is
    shuffled again for every epoch.

    Args:
        phases: in the order of their starts; the first starts at 0.
        seed: seed of orders and augmentations.
        positions: positions to sample, counted from 0.
    """

    def __init__(self, phases: Sequence[SampledPhase], seed: int, positions: range) -> None:
        self.phases = phases
        self.seed = seed
        self.positions = positions
        self._starts = [phase.start for phase in phases]

    def __iter__(self) -> Iterator[SeededIndex]:
        return map(self.at, self.positions)

    def __len__(self) -> int:
        return len(self.positions)

    def at(self, position: int) -> SeededIndex:
        """The sample at a position."""
        phase = self.phases[bisect_right(self._starts, position) - 1]
        part, turn = phase.turns.at(position - phase.start)
        index = phase.parts[part].at(turn, self.seed)
        return SeededIndex(index, derived_seed("augmentation", self.seed, position))
