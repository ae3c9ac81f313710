"""The data of mixes: the stages that make it, the segmenters that predict labels for it, and the trainings on it."""

from __future__ import annotations

from collections.abc import Sequence

from downstream.arms import PSEUDO, baseline_of, parse_arm
from pipeline.stages.curate import CurateStep
from pipeline.stages.generate import GenerateStep
from pipeline.stages.job import Job
from pipeline.stages.judge import JudgeStep
from pipeline.stages.step import Step
from pipeline.stages.tools import Tools
from pipeline.stages.trainings import RUNS, SyntheticStores, Teacher, Training, train_all, trainings_of


def stages_of(mix: str) -> frozenset[str]:
    """The stages that make the data of a mix."""
    arm = parse_arm(mix)
    stages = {"shard": True, "generate": arm.uses_raw, "curate": arm.uses_curated, "judge": arm.uses(PSEUDO)}
    return frozenset(stage for stage, needed in stages.items() if needed)


def stages_of_all(mixes: Sequence[str]) -> frozenset[str]:
    """The stages that make the data of these mixes."""
    return frozenset(stage for mix in mixes for stage in stages_of(mix))


def mix_trainings(
    job: Job,
    mixes: Sequence[str],
    seeds: Sequence[int],
    iterations: int,
    held_back: float = 0,
    runs: str = RUNS,
) -> list[Training]:
    """Every mix with every seed; the stages that make the data must be done.

    Args:
        job: the run.
        mixes: expressions.
        seeds: of each mix.
        iterations: of each training.
        held_back: share of the real training images that is left out, and measured on in place of the held-out split.
        runs: folder of the workspace with a folder for each training.
    """
    needed = stages_of_all(mixes)
    stores = SyntheticStores(
        job.step(CurateStep).store if "curate" in needed else None,
        job.step(GenerateStep).store if "generate" in needed else None,
    )
    teachers = {real: teacher(job, real) for real in teachers_of(mixes)}
    return trainings_of(job, mixes, seeds, iterations, stores, teachers, held_back, bool(held_back), runs)


def teachers_of(mixes: Sequence[str]) -> list[str]:
    """The mixes of real data that segmenters are trained on, to predict labels for these mixes."""
    return sorted({baseline_of(mix) for mix in mixes if parse_arm(mix).uses(PSEUDO)})


def teacher(job: Job, real: str) -> Teacher:
    """The segmenter that predicts labels for mixes with this real data: the judge, or one with fewer labels."""
    if parse_arm(real).is_simple:
        judge = job.step(JudgeStep)
        return Teacher(judge.path, judge.record.digest)
    [training] = judges_of(job, [real])
    return Teacher(training.folder, training.folder.name)


def train_teachers(step: Step, mixes: Sequence[str], tools: Tools) -> None:
    """Train the segmenters that predict labels for these mixes from a part of the labels; the judge is there."""
    if fewer := [real for real in teachers_of(mixes) if not parse_arm(real).is_simple]:
        train_all(step, judges_of(step.job, fewer), tools)


def judges_of(job: Job, reals: Sequence[str]) -> list[Training]:
    """Trainings like that of the judge, on a part of the real data."""
    options = job.config.judge
    return trainings_of(job, reals, [options.seed], options.iterations, held_back=options.held_back)
