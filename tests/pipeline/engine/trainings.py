"""Real trainings for the engine tests, each with one trait; a file is the checkpoint."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from augment.errors import UserError
from augment.progress import OnStep, TrainingStep
from pipeline.engine import Resources, WorkUnit


def units(count: int) -> list[WorkUnit]:
    return [WorkUnit(f"run-{number:06d}", ()) for number in range(count)]


@dataclass(frozen=True)
class Counting:
    """Takes ``steps`` steps of ``seconds`` each, saves each, and returns those that it took in this process."""

    folder: str
    steps: int = 4
    seconds: float = 0.0
    resources: Resources = field(default_factory=Resources)
    name: str = "adapt"

    def setup(self) -> None:
        """Nothing to load."""

    def train(self, unit: WorkUnit, on_step: OnStep) -> list[int]:
        saved = Path(self.folder, unit.shard)
        first = int(saved.read_text()) if saved.exists() else 0
        for step in range(first + 1, self.steps + 1):
            time.sleep(self.seconds)
            self.before(unit, step)
            saved.write_text(str(step))
            on_step(TrainingStep(step, self.steps, {"loss": 1 / step}, 1.0))
        return list(range(first + 1, self.steps + 1))

    def before(self, unit: WorkUnit, step: int) -> None:
        """What goes wrong before a step."""


class DiesAtEveryStep(Counting):
    """Loses its worker before each step but the first of every attempt."""

    def before(self, unit: WorkUnit, step: int) -> None:
        died = Path(self.folder, f"{unit.shard}-died-{step}")
        if step > 1 and not died.exists():
            died.touch()
            # What was reported is on its way.
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)


class DiesAlways(Counting):
    """Loses its worker before the second step of the run 1, every time."""

    def before(self, unit: WorkUnit, step: int) -> None:
        if unit.shard.endswith("1") and step == 2:
            os.kill(os.getpid(), signal.SIGKILL)


class Stalls(Counting):
    """Never takes the third step."""

    def before(self, unit: WorkUnit, step: int) -> None:  # noqa: ARG002
        if step == 3:
            time.sleep(600)


class Raises(Counting):
    def before(self, unit: WorkUnit, step: int) -> None:  # noqa: ARG002
        raise ZeroDivisionError("cannot")


class LosesDevice(Counting):
    """Meets an error of its GPU before the third step, once."""

    def before(self, unit: WorkUnit, step: int) -> None:
        met = Path(self.folder, f"{unit.shard}-met")
        if step == 3 and not met.exists():
            met.touch()
            raise RuntimeError("CUDA error: uncorrectable ECC error encountered")


class Refuses(Counting):
    def before(self, unit: WorkUnit, step: int) -> None:  # noqa: ARG002
        raise UserError("the loss is nan at step 3")


class Unloadable(Counting):
    """Takes its worker down as soon as it arrives there."""

    def __reduce__(self) -> tuple[object, tuple[int, int]]:
        return _kill_elsewhere, (os.getpid(), signal.SIGKILL)


def _kill_elsewhere(sender: int, number: int) -> Counting:
    if os.getpid() != sender:
        os.kill(os.getpid(), number)
    return Counting("")
