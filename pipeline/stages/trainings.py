"""Trainings of segmenters on mixes of real and synthetic data, which judge and compare share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from downstream.arms import PSEUDO, baseline_of, parse_arm
from downstream.options import ArmOptions, SegmenterTraining, mix_weights
from downstream.results import RESULT, ArmFailed, RunResult
from pipeline.datasets import TRAIN_SPLIT
from pipeline.engine import Resources, WorkUnit
from pipeline.stages.job import Job
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Step
from pipeline.stages.tools import Tools
from pipeline.store import JSON, Store, fingerprint
from pipeline.workspace.content import content_digest

if TYPE_CHECKING:
    from augment.progress import OnStep

# Folder of the workspace with one folder for each training.
RUNS = "runs"
# In place of the held-out split: the training images that are held back.
HELD_BACK = "held back"
# Letters of a mix in the name of such a folder.
_LONGEST = 80


@dataclass(frozen=True)
class Training:
    """One training: a mix, a seed, its options, and the folder that is named after all that its result depends on."""

    mix: str
    seed: int
    options: SegmenterTraining
    folder: Path
    arms: ArmOptions
    teacher: Path | None = None
    held_back: float = 0
    measures_held_back: bool = False


def held_out(job: Job) -> str:
    """The split that segmenters are evaluated on."""
    assert job.config.evaluate.split is not None
    return job.config.evaluate.split


@dataclass(frozen=True)
class SyntheticStores:
    """The stores that mixes take synthetic images from: after curation, and as they were painted."""

    curated: Store | None = None
    raw: Store | None = None


@dataclass(frozen=True)
class Teacher:
    """The segmenter that predicts the labels of `pseudo`: its folder, and the digest of all that it depends on."""

    folder: Path
    digest: str


def trainings_of(
    job: Job,
    mixes: Sequence[str],
    seeds: Sequence[int],
    iterations: int,
    synthetic: SyntheticStores = SyntheticStores(),
    teachers: Mapping[str, Teacher] = MappingProxyType({}),
    held_back: float = 0,
    measures_held_back: bool = False,
    runs: str = RUNS,
) -> list[Training]:
    """Every mix with every seed.

    Args:
        job: the run.
        mixes: expressions.
        seeds: of each mix.
        iterations: of each training.
        synthetic: the stores of mixes with synthetic data.
        teachers: by their mix of real data, for mixes with `pseudo`.
        held_back: share of the real training images that is left out, 0..1.
        measures_held_back: whether the evaluation is on those, and not on the held-out split.
        runs: folder of the workspace with a folder for each training.
    """
    downstream = job.config.downstream
    options, arm_options = downstream.training(iterations), downstream.arms
    # Each digest reads all receipts of a store.
    real_digest = content_digest(job.step(ShardStep).store) if mixes else None
    parsed = {mix: parse_arm(mix) for mix in mixes}
    curated = _digest_if(any(arm.uses_curated for arm in parsed.values()), synthetic.curated)
    raw = _digest_if(any(arm.uses_raw for arm in parsed.values()), synthetic.raw)
    trainings = []
    for mix, arm in parsed.items():
        teacher = teachers.get(baseline_of(mix)) if arm.uses(PSEUDO) else None
        expression: dict[str, JSON] = {"expression": str(arm), **arm_options.used_by(arm)}
        for seed in seeds:
            inputs: dict[str, JSON] = {
                "mix": {**mix_weights(mix)} if arm.is_simple else expression,
                "seed": seed,
                "options": options.semantic,
                "real": real_digest,
                "synthetic": curated if arm.uses_curated else None,
                "split": HELD_BACK if measures_held_back else held_out(job),
                **({"raw": raw} if arm.uses_raw else {}),
                **({"teacher": teacher.digest} if teacher else {}),
                **({"held_back": held_back} if held_back else {}),
            }
            folder = job.workspace.artifact(runs) / f"{folder_name(mix)}-seed{seed}-{fingerprint(inputs)[:8]}"
            trained_by = teacher.folder if teacher else None
            more = arm_options, trained_by, held_back, measures_held_back
            trainings.append(Training(mix, seed, options, folder, *more))
    return trainings


def _digest_if(used: bool, store: Store | None) -> str | None:
    return content_digest(store) if used and store is not None else None


def folder_name(mix: str) -> str:
    """A mix as the beginning of a folder's name, which all file systems take; the digest at its end is unique."""
    name = mix.replace("*", "x")
    if parse_arm(mix).is_simple and re.fullmatch(r"[\w.+ ]+", name):
        return name
    name = str(parse_arm(mix)).replace("*", "x").replace("%", "pct").replace(" > ", "_then_")
    return re.sub(r"[^A-Za-z0-9.+=-]+", "_", name).strip("_")[:_LONGEST]


def train_all(
    step: Step, trainings: Sequence[Training], tools: Tools, curated: str | None = None, raw: str | None = None
) -> list[RunResult]:
    """Results of the trainings of a step, in their order; finished ones are not repeated, begun ones are resumed."""

    def on_result(result: RunResult) -> None:
        tools.report(f"{step.name}: {result.mix}, seed {result.seed}: {measured(result)}")

    return tools.train(_task(step, trainings, curated, raw), _units(step, trainings, tools), on_result)


def attempt_all(
    step: Step, trainings: Sequence[Training], tools: Tools, curated: str | None, raw: str | None
) -> list[RunResult | str]:
    """The same for arms that may have nothing to learn from, or diverge: why, in place of a result."""

    def on_result(result: RunResult | str) -> None:
        if isinstance(result, RunResult):
            tools.report(f"{step.name}: {result.mix}, seed {result.seed}: {measured(result)}")

    return tools.train(Attempt(_task(step, trainings, curated, raw)), _units(step, trainings, tools), on_result)


def _task(step: Step, trainings: Sequence[Training], curated: str | None, raw: str | None) -> Train:
    real, split = step.job.step(ShardStep).url, held_out(step.job)
    return Train(trainings, real, curated, raw, split, step.resources, step.name)


def _units(step: Step, trainings: Sequence[Training], tools: Tools) -> dict[str, WorkUnit]:
    """The units of trainings by their titles; says which of them resume."""
    from downstream.checkpoint import steps_taken

    for training in trainings:
        # A finished training may still have its last state.
        if not (training.folder / RESULT).is_file() and (taken := steps_taken(training.folder)):
            tools.report(f"{step.name}: {_title(training)}: resumes at step {taken} of {training.options.iterations}")
    return {
        _title(training): WorkUnit(f"run-{index:06d}", (), {"index": index}) for index, training in enumerate(trainings)
    }


def _title(training: Training) -> str:
    return f"{training.mix}, seed {training.seed}"


def measured(result: RunResult) -> str:
    """A result's mIoU, and the images that it was measured on."""
    images = "" if result.images is None else f"{result.images} images of "
    return f"mIoU {result.miou:.3f} on {images}{result.inputs['splits'][1]}"


@dataclass
class Train:
    """Trains mixes; a unit's parameters hold the index of its training.

    Attributes:
        trainings: all of them.
        real, curated, raw: URLs of stores; the last two may be None if no mix takes their images.
        val_split: split of the real store to evaluate on.
    """

    trainings: Sequence[Training]
    real: str
    curated: str | None
    raw: str | None
    val_split: str
    resources: Resources
    name: str

    def setup(self) -> None:
        """Nothing: each training loads what it needs."""

    def train(self, unit: WorkUnit, on_step: OnStep) -> RunResult:
        """Train and evaluate."""
        from downstream.held_back import held_back_keys, labelled_keys
        from downstream.training import train

        training = self.trainings[int(str(unit.params["index"]))]
        # The index is read only where images are left out.
        keys = labelled_keys(Store.open(self.real), TRAIN_SPLIT) if training.held_back else []
        return train(
            training.mix,
            self.real,
            self.curated,
            training.options,
            training.seed,
            training.folder,
            on_step,
            val_split=self.val_split,
            raw_store=self.raw,
            teacher=training.teacher,
            arms=training.arms,
            held_back=held_back_keys(keys, training.held_back),
            measures_held_back=training.measures_held_back,
        )


@dataclass
class Attempt:
    """Trains mixes, and gives the reason in place of a result where an arm cannot be trained."""

    task: Train

    @property
    def name(self) -> str:
        """Of the stage."""
        return self.task.name

    @property
    def resources(self) -> Resources:
        """Of one worker."""
        return self.task.resources

    def setup(self) -> None:
        """See `Train.setup`."""
        self.task.setup()

    def train(self, unit: WorkUnit, on_step: OnStep) -> RunResult | str:
        """Train and evaluate, or say why not."""
        try:
            return self.task.train(unit, on_step)
        except ArmFailed as error:
            return " ".join(str(error).split())
