"""Trainings of segmenters on mixes of real and synthetic data, which judge and compare share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from downstream.options import SegmenterTraining, mix_weights
from pipeline.engine import Resources, WorkUnit
from pipeline.stages.job import Job
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Step
from pipeline.stages.tools import Tools
from pipeline.store import Store, fingerprint
from pipeline.workspace.content import content_digest

if TYPE_CHECKING:
    from augment.progress import OnStep
    from downstream.mixes import Mix
    from downstream.results import RunResult

# Folder of the workspace with one folder for each training.
RUNS = "runs"


@dataclass(frozen=True)
class Training:
    """One training: a mix, a seed, its options, and the folder that is named after all that its result depends on."""

    mix: str
    seed: int
    options: SegmenterTraining
    folder: Path


def held_out(job: Job) -> str:
    """The split that segmenters are evaluated on."""
    assert job.config.evaluate.split is not None
    return job.config.evaluate.split


def trainings_of(
    job: Job, mixes: Sequence[str], seeds: Sequence[int], iterations: int, synthetic: Store | None = None
) -> list[Training]:
    """Every mix with every seed; ``synthetic`` is the store of mixes with synthetic data."""
    options = job.config.downstream.training(iterations)
    # Each digest reads all receipts of a store.
    real_digest = content_digest(job.step(ShardStep).store) if mixes else None
    uses_synthetic = synthetic is not None and any("synthetic" in mix_weights(mix) for mix in mixes)
    synthetic_digest = content_digest(synthetic) if synthetic is not None and uses_synthetic else None
    trainings = []
    for mix in mixes:
        weights = mix_weights(mix)
        for seed in seeds:
            digest = fingerprint(
                {
                    "mix": {**weights},
                    "seed": seed,
                    "options": options.semantic,
                    "real": real_digest,
                    "synthetic": synthetic_digest if "synthetic" in weights else None,
                    "split": held_out(job),
                }
            )
            folder = job.workspace.artifact(RUNS) / f"{mix.replace('*', 'x')}-seed{seed}-{digest[:8]}"
            trainings.append(Training(mix, seed, options, folder))
    return trainings


def train_all(step: Step, trainings: Sequence[Training], tools: Tools, synthetic: str | None = None) -> list[RunResult]:
    """Results of the trainings of a step, in their order; finished ones are not repeated."""
    real, split = step.job.step(ShardStep).url, held_out(step.job)
    task = Train(trainings, real, synthetic, split, step.resources, step.name)
    units = {
        f"{training.mix}, seed {training.seed}": WorkUnit(f"run-{index:06d}", (), {"index": index})
        for index, training in enumerate(trainings)
    }

    def on_result(result: RunResult) -> None:
        tools.report(f"{step.name}: {result.mix}, seed {result.seed}: {measured(result)}")

    return tools.train(task, units, on_result)


def measured(result: RunResult) -> str:
    """A result's mIoU, and the images that it was measured on."""
    images = "" if result.images is None else f"{result.images} images of "
    return f"mIoU {result.miou:.3f} on {images}{result.inputs['splits'][1]}"


def mix_of(expression: str) -> Mix:
    """The mix that an expression of the configuration names."""
    from downstream.mixes import Mix

    weights = mix_weights(expression)
    return Mix(expression, weights.get("real", 0), weights.get("synthetic", 0))


@dataclass
class Train:
    """Trains mixes; a unit's parameters hold the index of its training.

    Attributes:
        trainings: all of them.
        real, synthetic: URLs of stores; the latter may be None for mixes without synthetic data.
        val_split: split of the real store to evaluate on.
    """

    trainings: Sequence[Training]
    real: str
    synthetic: str | None
    val_split: str
    resources: Resources
    name: str

    def setup(self) -> None:
        """Nothing: each training loads what it needs."""

    def train(self, unit: WorkUnit, on_step: OnStep) -> RunResult:
        """Train and evaluate."""
        from downstream.training import train

        training = self.trainings[int(str(unit.params["index"]))]
        mix = mix_of(training.mix)
        return train(
            mix,
            self.real,
            self.synthetic if mix.synthetic else None,
            training.options,
            training.seed,
            training.folder,
            on_step,
            val_split=self.val_split,
        )
