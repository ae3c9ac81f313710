"""Real stages, sources and tasks for the engine tests, each with one trait.

Every Ray worker imports this module, so that torch, which takes most of a worker's start, is imported where it is used.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from augment.errors import UserError
from pipeline.engine import Dropped, Failed, Ok, Outcome, Resources, WorkUnit
from pipeline.store import JSON, Manifest, Sample

MANIFEST = Manifest("synthetic", "camvid", {"height": 16, "width": 24}, {"seed": 0})
KEYS_PER_UNIT = 5


def plan(units: int) -> list[WorkUnit]:
    """Units of five keys each: k000 to k004, k005 to k009, ..."""
    keys = [f"k{number:03d}" for number in range(units * KEYS_PER_UNIT)]
    return [
        WorkUnit(f"train-{unit:06d}", tuple(keys[unit * KEYS_PER_UNIT : (unit + 1) * KEYS_PER_UNIT]))
        for unit in range(units)
    ]


@dataclass(frozen=True)
class Noise:
    """A source of images seeded by their keys; those in ``unreadable`` fail."""

    unreadable: frozenset[str] = frozenset()

    def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
        for key in unit.keys:
            if key in self.unreadable:
                yield Failed(key, f"unreadable image: {key}.png is truncated")
                continue
            rng = np.random.default_rng(int(key[1:]))
            image = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
            yield Sample(key, image, rng.integers(0, 11, (16, 24), dtype=np.uint8), metadata={"split": "train"})


@dataclass
class Variants:
    """Two variants of each sample; fails on, drops or miswrites the given keys; logs each unit."""

    log: str = ""
    fails: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()
    unwritable: frozenset[str] = frozenset()
    batch_size: int = 3
    resources: Resources = field(default_factory=Resources)
    name: str = "generate"

    def setup(self) -> None:
        self.offset = np.uint8(7)

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> Sequence[Outcome]:
        assert len(batch) <= self.batch_size
        if self.log:
            with Path(self.log).open("a") as stream:
                stream.write(f"{unit.shard}\n")
        for sample in batch:
            if sample.key in self.fails:
                raise ArithmeticError(f"no image for {sample.key}")
        return [outcome for sample in batch for outcome in self._variants(sample)]

    def _variants(self, sample: Sample) -> Iterator[Outcome]:
        if sample.key in self.drops:
            yield Dropped(sample.key, "unreliable: 80 % of the pixels")
            return
        assert sample.image is not None
        for variant in range(2):
            metadata: dict[str, JSON] = {"source_key": sample.key, "variant": variant}
            if sample.key in self.unwritable:
                metadata["score"] = float("nan")
            image = sample.image + self.offset * np.uint8(variant)
            yield Ok(Sample(f"{sample.key}_v{variant:02d}", image, sample.label, metadata=metadata))


@dataclass(frozen=True)
class Task:
    """Reports the shard it ran and where; subclasses change one step."""

    resources: Resources = field(default_factory=Resources)
    name: str = "probe"

    def setup(self) -> None:
        """Nothing to load."""

    def run(self, unit: WorkUnit) -> tuple[str, int]:
        return unit.shard, os.getpid()


@dataclass(frozen=True)
class SetupRaises(Task):
    log: str = ""

    def setup(self) -> None:
        with Path(self.log).open("a") as stream:
            stream.write("setup\n")
        raise OSError("weights.safetensors is cut short")


class SetupRefuses(Task):
    def setup(self) -> None:
        raise UserError("base: no model at ./sd15, expected a diffusers folder")


class AlwaysDies(Task):
    """Kills its process at the unit 1, every time."""

    def run(self, unit: WorkUnit) -> tuple[str, int]:
        if unit.shard.endswith("1"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(unit)


class RunRaises(Task):
    def run(self, unit: WorkUnit) -> tuple[str, int]:
        if unit.shard.endswith("2"):
            raise ZeroDivisionError("cannot")
        return super().run(unit)


@dataclass(frozen=True)
class DiesOnce(Task):
    """Kills its process at its second unit, the first time only."""

    marker: str = ""

    def run(self, unit: WorkUnit) -> tuple[str, int]:
        if unit.shard.endswith("1") and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(unit)


@dataclass
class LosesDevice(Variants):
    """Meets a CUDA error at its second unit, the first time only."""

    marker: str = ""

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> Sequence[Outcome]:
        if unit.shard.endswith("1") and not Path(self.marker).exists():
            Path(self.marker).touch()
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return super().process(unit, batch)


class Threads(Task):
    """Reports the number of torch threads that a unit sees."""

    def setup(self) -> None:
        import torch  # noqa: F401 - in a Ray worker this is the first import

    def run(self, unit: WorkUnit) -> tuple[str, int]:
        import torch

        return unit.shard, torch.get_num_threads()


@dataclass
class Hangs(Variants):
    """Waits without end at the unit 1, every time; ``held`` keeps the interpreter for itself meanwhile."""

    held: bool = False

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> Sequence[Outcome]:
        if unit.shard.endswith("1"):
            if self.held:
                re.match(r"(a+)+$", 64 * "a" + "b")
            time.sleep(600)
        return super().process(unit, batch)


@dataclass
class Kills(Variants):
    """Kills its process at the unit 1, every time."""

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> Sequence[Outcome]:
        if unit.shard.endswith("1"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().process(unit, batch)


class SetupHangs(Task):
    """Waits without end in set-up, every time."""

    def setup(self) -> None:
        time.sleep(600)


@dataclass(frozen=True)
class SetupHangsOnce(Task):
    """Waits without end in set-up, the first time only."""

    marker: str = ""

    def setup(self) -> None:
        if not Path(self.marker).exists():
            Path(self.marker).touch()
            time.sleep(600)


class SetupDies(Task):
    """Kills its process in set-up, every time."""

    def setup(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class FillsMemory(Variants):
    """Runs out of memory above ``fits`` samples, with the error of torch; notes in ``log`` how many it gets."""

    fits: int = 1
    error: type[Exception] | None = None

    def setup(self) -> None:
        super().setup()
        if self.error is None:
            import torch

            self.error = torch.OutOfMemoryError

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> Sequence[Outcome]:  # noqa: ARG002
        assert self.error is not None
        if self.log:
            with Path(self.log).open("a") as stream:
                stream.write(f"{len(batch)}\n")
        if len(batch) > self.fits:
            raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB")
        return [outcome for sample in batch for outcome in self._variants(sample)]
