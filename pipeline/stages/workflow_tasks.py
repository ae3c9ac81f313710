"""Training and evaluation of segmenters as tasks that an executor runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from downstream.options import SegmenterTraining, mix_weights
from pipeline.engine import Resources, WorkUnit
from pipeline.engine.memory import FittingBatches

if TYPE_CHECKING:
    import pyarrow as pa

    from augment.progress import OnStep
    from downstream.judge import Judge
    from downstream.mixes import Mix
    from downstream.results import RunResult


@dataclass(frozen=True)
class Training:
    """One training of the comparison: a mix, what it is trained with, and the folder named after both."""

    mix: str
    seed: int
    options: SegmenterTraining
    folder: Path


@dataclass
class Train:
    """Trains mixes; a unit's parameters say which of the trainings.

    Attributes:
        trainings: all of them.
        real, synthetic: stores.
        val_split: split of the real store to evaluate on.
    """

    trainings: Sequence[Training]
    real: str
    synthetic: str
    val_split: str
    resources: Resources
    name: str

    def setup(self) -> None:
        """Nothing that outlives one training."""

    def train(self, unit: WorkUnit, on_step: OnStep) -> RunResult:
        """Train and evaluate."""
        from downstream.training import train

        training = self.trainings[int(str(unit.params["index"]))]
        mix = mix_of(training.mix)
        synthetic = self.synthetic if mix.synthetic else None
        return train(
            mix,
            self.real,
            synthetic,
            training.options,
            training.seed,
            training.folder,
            on_step,
            val_split=self.val_split,
        )


@dataclass
class Evaluate:
    """Measures the synthetic images of a held-out split with the judge in a folder, None where it is unfit."""

    judge: str | None
    real: str
    synthetic: str
    split: str
    resources: Resources
    device: str
    batch_size: int
    name: str = "evaluate"

    def setup(self) -> None:
        """Nothing that outlives the one unit."""

    def run(self, _unit: WorkUnit) -> pa.Table:
        """The table by k; see `downstream.evaluation.evaluate`."""
        from downstream.evaluation import evaluate
        from pipeline.stages.fitting_judge import FittingJudge

        judge = None
        if self.judge is not None:
            judge = FittingJudge(load_judge(self.judge, self.device), FittingBatches(self.name, self.batch_size))
        return evaluate(judge, self.real, self.synthetic, self.split, self.batch_size)


def mix_of(expression: str) -> Mix:
    """The mix that an expression of the configuration names."""
    from downstream.mixes import Mix

    weights = mix_weights(expression)
    return Mix(expression, weights.get("real", 0), weights.get("synthetic", 0))


def load_judge(folder: str, device: str) -> Judge:
    """Load the judge, in whichever process needs it."""
    from downstream.judge import Judge

    return Judge.load(Path(folder), device)
