"""Mixes of real and synthetic samples: their proportion and their order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from augment.errors import UserError
from pipeline.store import JSON


@dataclass(frozen=True)
class Mix:
    """Proportion of real and synthetic samples in training.

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
    def synthetic_share(self) -> Fraction:
        """Share of synthetic samples, 0..1."""
        real, synthetic = (Fraction(str(weight)) for weight in (self.real, self.synthetic))
        return synthetic / (real + synthetic)


class SeededIndex(NamedTuple):
    """The index of a sample in a dataset, and the seed of its augmentation this time."""

    sample: int
    seed: int


def derived_seed(*parts: int | str) -> int:
    """A 32-bit seed from the identity of a random event, the same in every process and version of Python."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


class MixSampler(Sampler[SeededIndex]):
    """Samples real and synthetic samples in the proportion of a mix.

    The sample at a position depends only on the seed and the position, so training can resume anywhere. Any n
    consecutive positions have the mix's share of synthetic samples, to within one. Each part is shuffled again for
    every epoch.

    Args:
        real: indices of the real samples in the dataset.
        synthetic: indices of the synthetic ones.
        share: share of synthetic samples.
        seed: seed of orders and augmentations.
        positions: positions to sample, counted from 0.
    """

    def __init__(
        self,
        real: Sequence[int],
        synthetic: Sequence[int],
        share: Fraction,
        seed: int,
        positions: range,
    ) -> None:
        self.parts = {"real": real, "synthetic": synthetic}
        self.share = share
        self.seed = seed
        self.positions = positions
        self._orders: dict[str, tuple[int, np.ndarray]] = {}

    def __iter__(self) -> Iterator[SeededIndex]:
        return map(self.at, self.positions)

    def __len__(self) -> int:
        return len(self.positions)

    def at(self, position: int) -> SeededIndex:
        """The sample at a position."""
        before, after = (floor(end * self.share) for end in (position, position + 1))
        part, turn = ("synthetic", before) if after > before else ("real", position - before)
        indices = self.parts[part]
        epoch, place = divmod(turn, len(indices))
        index = indices[self._order(part, epoch)[place]]
        return SeededIndex(index, derived_seed("augmentation", self.seed, position))

    def _order(self, part: str, epoch: int) -> np.ndarray:
        known = self._orders.get(part)
        if known is None or known[0] != epoch:
            rng = np.random.default_rng(derived_seed("order", self.seed, part, epoch))
            known = self._orders[part] = (epoch, rng.permutation(len(self.parts[part])))
        return known[1]
