"""compare: a segmenter is trained on each mix of real and synthetic data, to see which data helps."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from downstream.arms import PSEUDO, baseline_of, parse_arm
from downstream.results import RESULT
from pipeline.stages.arm_checks import remarks_on, require_augmentation_works, require_columns
from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.curate import CurateStep
from pipeline.stages.generate import GenerateStep
from pipeline.stages.judge import JudgeStep, require_labels, require_trainable_segmenter
from pipeline.stages.step import Size, Step
from pipeline.stages.tools import Tools
from pipeline.stages.trainings import RUNS, SyntheticStores, Teacher, Training, train_all, trainings_of
from pipeline.store import JSON


class CompareStep(ArtifactStep):
    """Makes the table of the results of each mix."""

    name = "compare"
    output = "comparison.parquet"
    title = "the comparison"
    kind = "comparison"
    derived = True
    needs_labels = True
    needs_held_out = True
    trains = True

    @property
    def reads(self) -> Collection[str]:
        """The stages that make the data of the mixes."""
        return {stage for mix in self.config.downstream.mixes for stage in stages_of(mix)}

    def check_settings(self) -> None:
        """Check that the filters of the mixes name ks, variants and attributes that there are."""
        require_columns(self.job)

    def check(self, left: Sequence[Step]) -> list[str]:
        """Check that there is data to train on, and that the segmenter can be trained."""
        require_labels(self.job, left)
        if not any(isinstance(step, CurateStep) for step in left):
            self.require_curated()
        if not any(isinstance(step, JudgeStep) for step in left):
            require_trainable_segmenter(self)
        require_augmentation_works(self.job)
        return remarks_on(self.config)

    def require_curated(self) -> None:
        """Check that curation has kept samples, if a mix needs them.

        Raises:
            UserError: it has kept none.
        """
        if "curate" in self.reads:
            self.job.step(CurateStep).require_samples()

    def size(self) -> Size:
        """One unit for each training."""
        options = self.config.downstream
        return Size(len(options.mixes) * len(options.seeds), 0)

    def inputs(self) -> Mapping[str, JSON]:
        """The trainings, whose folders are named after all that they depend on."""
        runs: list[JSON] = [training.folder.name for training in self.trainings()]
        return {"runs": runs}

    def trainings(self, mixes: Sequence[str] | None = None) -> list[Training]:
        """These mixes (None: all) with every seed."""
        options = self.config.downstream
        mixes = options.mixes if mixes is None else mixes
        needed = {stage for mix in mixes for stage in stages_of(mix)}
        stores = SyntheticStores(
            self.job.step(CurateStep).store if "curate" in needed else None,
            self.job.step(GenerateStep).store if "generate" in needed else None,
        )
        teachers = {real: self.teacher(real) for real in teachers_of(mixes)}
        return trainings_of(self.job, mixes, options.seeds, options.iterations, stores, teachers)

    def teacher(self, real: str) -> Teacher:
        """The segmenter that predicts labels for mixes with this real data: the judge, or one with fewer labels."""
        if parse_arm(real).is_simple:
            judge = self.job.step(JudgeStep)
            return Teacher(judge.path, judge.record.digest)
        [training] = self.judges([real])
        return Teacher(training.folder, training.folder.name)

    def judges(self, reals: Sequence[str]) -> list[Training]:
        """Trainings like that of the judge, on a part of the real data."""
        options = self.config.judge
        return trainings_of(self.job, reals, [options.seed], options.iterations)

    def finished(self, undone: frozenset[str]) -> int:
        """Number of finished trainings that read nothing of the stages ``undone``."""
        mixes = [mix for mix in self.config.downstream.mixes if not undone & stages_of(mix)]
        return sum((training.folder / RESULT).is_file() for training in self.trainings(mixes))

    def is_begun(self) -> bool:
        """Whether the table is there, or any finished training, whatever its data."""
        return self.is_whole() or any(self.workspace.artifact(RUNS).glob(f"*/{RESULT}"))

    def build(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Do the trainings that are left, and put all results into one table."""
        self.require_curated()
        from downstream.comparison import comparison_table, summarize, write_table

        if fewer := [real for real in teachers_of(self.config.downstream.mixes) if not parse_arm(real).is_simple]:
            train_all(self, self.judges(fewer), tools)
        curated, raw = (self.job.step(step).url for step in (CurateStep, GenerateStep))
        table = comparison_table(train_all(self, self.trainings(), tools, curated, raw))
        write_table(table, path)
        facts["recommendation"] = recommendation = summarize(table).recommendation
        return recommendation

    def clean(self) -> None:
        """Remove all trainings."""
        shutil.rmtree(self.workspace.artifact(RUNS), ignore_errors=True)


def stages_of(mix: str) -> frozenset[str]:
    """The stages that make the data of a mix."""
    arm = parse_arm(mix)
    stages = {"shard": True, "generate": arm.uses_raw, "curate": arm.uses_curated, "judge": arm.uses(PSEUDO)}
    return frozenset(stage for stage, needed in stages.items() if needed)


def teachers_of(mixes: Sequence[str]) -> list[str]:
    """The mixes of real data that segmenters are trained on, to predict labels for these mixes."""
    return sorted({baseline_of(mix) for mix in mixes if parse_arm(mix).uses(PSEUDO)})
