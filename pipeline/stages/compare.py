"""compare: a segmenter is trained on each mix of real and synthetic data, to see which data helps."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from downstream.arms import baseline_of, parse_arm
from downstream.fitness import Fitness
from downstream.options import DownstreamOptions
from downstream.results import RESULT, read_result
from downstream.statistics.question import Question
from pipeline.stages.arm_checks import remark_on_teacher, remarks_on, require_augmentation_works, require_columns
from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.curate import CurateStep
from pipeline.stages.generate import GenerateStep
from pipeline.stages.judge import JudgeStep, require_labels, require_trainable_segmenter
from pipeline.stages.mix_data import (
    judges_of,
    mix_trainings,
    stages_of,
    stages_of_all,
    teachers_of,
    train_teachers,
)
from pipeline.stages.search import SearchStep
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Size, Step
from pipeline.stages.tools import Tools
from pipeline.stages.trainings import RUNS, Training, train_all
from pipeline.store import JSON

if TYPE_CHECKING:
    from downstream.comparison import ComparisonSummary
    from downstream.results import RunResult
    from downstream.statistics.counts import Run


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
        search = self.job.step(SearchStep)
        searched = () if self.config.search is None else (search.name, *search.reads)
        return {*stages_of_all(self.config.downstream.mixes), *searched}

    @property
    def mixes(self) -> tuple[str, ...]:
        """Those of the configuration, and the winner of a finished search with its baseline."""
        found = self.job.step(SearchStep).result
        return self.config.downstream.mixes if found is None else self._with(found.winner)

    def _with(self, winner: str) -> tuple[str, ...]:
        """The mixes of the configuration, and this one and its baseline where they lack them."""
        mixes = self.config.downstream.mixes
        names = {str(parse_arm(mix)) for mix in mixes}
        return (*mixes, *(mix for mix in (baseline_of(winner), winner) if str(parse_arm(mix)) not in names))

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
        # Finished trainings are known only with the store that they read.
        known = [] if any(isinstance(step, ShardStep) for step in left) else [*self.unfit_teachers(), *self.noise()]
        return [*remarks_on(self.config), *known]

    def unfit_teachers(self) -> list[str]:
        """The segmenters that predict labels for mixes, are trained, and are unfit for it; a line each."""
        mixes, judge = self.mixes, self.job.step(JudgeStep).path
        folders = {
            real: judge if parse_arm(real).is_simple else judges_of(self.job, [real])[0].folder
            for real in teachers_of(mixes)
        }
        found = {real: result for real, folder in folders.items() if (result := read_result(folder)) is not None}
        unfit = {real: Fitness.of(result).shortfall for real, result in found.items()}
        return [remark_on_teacher(mixes, real, shortfall) for real, shortfall in unfit.items() if shortfall]

    def noise(self) -> list[str]:
        """How much real data alone varies between the seeds that are trained, and what that means; a line or none."""
        options = self.config.downstream
        folders = [training.folder for training in self.trainings(["real"] if "real" in options.mixes else [])]
        if sum((folder / RESULT).is_file() for folder in folders) < 2:
            return []
        from downstream.statistics.counts import read_counts
        from downstream.statistics.recommendation import noise
        from downstream.statistics.runs import labelled_miou

        scores = [
            result.miou if (counts := read_counts(folder)) is None else labelled_miou(counts)
            for folder in folders
            if (result := read_result(folder)) is not None
        ]
        return [f"compare: {noise('real', scores, self.question, len(self.mixes) - 1)}"]

    def require_curated(self) -> None:
        """Check that curation has kept samples, if a mix needs them.

        Raises:
            UserError: it has kept none.
        """
        if "curate" in self.reads:
            self.job.step(CurateStep).require_samples()

    def size(self) -> Size:
        """One unit for each training."""
        search = self.job.step(SearchStep)
        mixes = self.mixes
        if self.config.search is not None and search.result is None:
            # The winner is not known, so this is an upper bound.
            mixes = max(map(self._with, search.options.candidates), key=len)
        return Size(len(mixes) * len(self.config.downstream.seeds), 0)

    def inputs(self) -> Mapping[str, JSON]:
        """The trainings, whose folders are named after all that they depend on."""
        runs: list[JSON] = [training.folder.name for training in self.trainings()]
        options, default = self.config.downstream, DownstreamOptions()
        asked: dict[str, JSON] = {"smallest_gain": options.smallest_gain, "stop_early": options.stop_early}
        return {"runs": runs, **{name: value for name, value in asked.items() if value != getattr(default, name)}}

    def trainings(self, mixes: Sequence[str] | None = None) -> list[Training]:
        """These mixes (None: all) with every seed."""
        options = self.config.downstream
        return mix_trainings(self.job, self.mixes if mixes is None else mixes, options.seeds, options.iterations)

    def finished(self, undone: frozenset[str]) -> int:
        """Number of finished trainings that read nothing of the stages ``undone``."""
        known = self.config.downstream.mixes if SearchStep.name in undone else self.mixes
        mixes = [mix for mix in known if not undone & stages_of(mix)]
        return sum((training.folder / RESULT).is_file() for training in self.trainings(mixes))

    def is_begun(self) -> bool:
        """Whether the table is there, or any finished training, whatever its data."""
        return self.is_whole() or any(self.workspace.artifact(RUNS).glob(f"*/{RESULT}"))

    def build(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Do the trainings that are left, and put all results into one table."""
        self.require_curated()
        from downstream.comparison import comparison_table, with_summary, write_table
        from downstream.looks import train_by_looks

        train_teachers(self, self.mixes, tools)
        for line in self.unfit_teachers():
            tools.report(line)
        curated, raw = (self.job.step(step).url for step in (CurateStep, GenerateStep))
        options = self.config.downstream
        trainings = {(training.mix, training.seed): training for training in self.trainings()}

        def train(runs: Sequence[Run]) -> list[RunResult]:
            results = train_all(self, [trainings[run] for run in runs], tools, curated, raw)
            # A finished training may have another spelling of the same mix.
            return [replace(result, mix=mix) for (mix, _), result in zip(runs, results, strict=True)]

        def report(line: str) -> None:
            tools.report(f"{self.name}: {line}")

        if options.stop_early:
            results = train_by_looks(self.mixes, options.seeds, train, self.summarize, report)
        else:
            results = train(list(trainings))
        summary = self.summarize(results)
        write_table(with_summary(comparison_table(results), summary), path)
        facts["recommendation"] = summary.recommendation
        return summary.recommendation

    @property
    def question(self) -> Question:
        """What is asked of the results."""
        options = self.config.downstream
        return Question(options.smallest_gain / 100, len(options.seeds) if options.stop_early else None)

    def summarize(self, results: Sequence[RunResult]) -> ComparisonSummary:
        """What finished trainings say, with what each counted in the images."""
        from downstream.comparison import comparison_table, summarize
        from downstream.statistics.counts import read_all_counts

        folders = {(training.mix, training.seed): training.folder for training in self.trainings()}
        found = read_all_counts({(of.mix, of.seed): folders[of.mix, of.seed] for of in results})
        mixes = self.mixes
        compared = {str(parse_arm(mix)): mix for mix in mixes}
        baselines = {mix: compared.get(baseline_of(mix), "") for mix in mixes}
        return summarize(comparison_table(results), self.question, found, baselines)

    def clean(self) -> None:
        """Remove all trainings."""
        shutil.rmtree(self.workspace.artifact(RUNS), ignore_errors=True)
