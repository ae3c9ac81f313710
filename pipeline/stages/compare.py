"""compare: a segmenter is trained on each mix of real and synthetic data, to see which data helps."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from downstream.options import mix_weights
from downstream.results import RESULT
from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.curate import CurateStep
from pipeline.stages.judge import JudgeStep, require_labels, require_trainable_segmenter
from pipeline.stages.step import Size, Step
from pipeline.stages.tools import Tools
from pipeline.stages.trainings import RUNS, Training, train_all, trainings_of
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

    def check(self, left: Sequence[Step]) -> list[str]:
        """Check that there is data to train on, and that the segmenter can be trained."""
        require_labels(self.job, left)
        if not any(isinstance(step, CurateStep) for step in left):
            self.require_curated()
        if not any(isinstance(step, JudgeStep) for step in left):
            require_trainable_segmenter(self)
        return []

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
        synthetic = self.job.step(CurateStep).store if any("curate" in stages_of(mix) for mix in mixes) else None
        return trainings_of(self.job, mixes, options.seeds, options.iterations, synthetic)

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

        table = comparison_table(train_all(self, self.trainings(), tools, self.job.step(CurateStep).url))
        write_table(table, path)
        facts["recommendation"] = recommendation = summarize(table).recommendation
        return recommendation

    def clean(self) -> None:
        """Remove all trainings."""
        shutil.rmtree(self.workspace.artifact(RUNS), ignore_errors=True)


def stages_of(mix: str) -> frozenset[str]:
    """The stages that make the data of a mix."""
    return frozenset({"shard", "curate"} if "synthetic" in mix_weights(mix) else {"shard"})
