"""search: successive halving over mixes, on training images that are held back; compare confirms the winner."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from downstream.held_back import held_back_keys, labelled_keys
from downstream.results import RESULT, write_json
from downstream.search import Outcome, SearchResult, halve
from downstream.search_options import RungPlan, SearchOptions
from downstream.statistics import MIN_IMAGES
from pipeline.datasets import TRAIN_SPLIT
from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.curate import CurateStep
from pipeline.stages.generate import GenerateStep
from pipeline.stages.judge import require_labels, require_trainable_segmenter
from pipeline.stages.mix_data import mix_trainings, stages_of_all, train_teachers
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Size, Step
from pipeline.stages.tools import Tools
from pipeline.stages.trainings import Training, attempt_all
from pipeline.store import JSON

if TYPE_CHECKING:
    from pipeline.config import Config

# The result in the step's folder, and the folder of the workspace with one folder for each training.
SEARCH = "search.json"
SEARCH_RUNS = "search-runs"


class SearchStep(ArtifactStep):
    """Makes the table of the rungs, and names the mix that gained most."""

    name = "search"
    output = "search"
    title = "the search"
    kind = "search"
    derived = True
    needs_labels = True
    needs_held_out = True
    trains = True

    @classmethod
    def left_out(cls, config: Config) -> str:
        """See `Step.left_out`."""
        if config.search is None:
            return "search is null; give the mixes to choose from, as in docs/search.md"
        return super().left_out(config)

    @property
    def options(self) -> SearchOptions:
        """The section of the configuration, in a run that has one."""
        assert self.config.search is not None
        return self.config.search

    @property
    def reads(self) -> Collection[str]:
        """The stages that make the data of the candidates."""
        return () if self.config.search is None else stages_of_all(self.options.candidates)

    @property
    def plans(self) -> tuple[RungPlan, ...]:
        """The rungs."""
        return self.options.rungs(self.config.downstream.iterations)

    @property
    def images(self) -> int:
        """Training images that are held back and measured on; the real store must be there."""
        keys = labelled_keys(self.job.step(ShardStep).store, TRAIN_SPLIT)
        return len(held_back_keys(keys, self.config.judge.held_back))

    @property
    def result(self) -> SearchResult | None:
        """The finished search of this run, whatever its inputs; None before, and in a run that searches nothing."""
        if self.config.search is None or not self.is_whole():
            return None
        return SearchResult.from_json(json.loads((self.path / SEARCH).read_text(encoding="utf-8")))

    def check(self, left: Sequence[Step]) -> list[str]:
        """Check that the segmenter can be trained; says what the search costs."""
        require_labels(self.job, left)
        if not any(step.name == "judge" for step in left):
            require_trainable_segmenter(self)
        few = []
        if not any(isinstance(step, ShardStep) for step in left) and self.images < MIN_IMAGES:
            few.append(
                f"search: it measures on {self.images} training images that are held back; among fewer than "
                f"{MIN_IMAGES} a handful decide: raise judge.held_back, or take more images"
            )
        return [self.cost(), *few]

    def cost(self) -> str:
        """What the search takes, in one line."""
        full = self.config.downstream.iterations
        trainings, steps = self.options.cost(full)
        rungs = ", ".join(f"{plan.mixes} for {plan.iterations:,}" for plan in self.plans)
        return (
            f"search: {self.plans[0].mixes} mixes in {len(self.plans)} rungs ({rungs} iterations), with baselines "
            f"{trainings} trainings of {steps:,} iterations, as many as {steps / full:.3g} trainings of compare"
        )

    def size(self) -> Size:
        """One unit for each training."""
        return Size(self.options.cost(self.config.downstream.iterations)[0], 0)

    def inputs(self) -> Mapping[str, JSON]:
        """The trainings of the first rung, named after all that they depend on, and the rungs."""
        runs: list[JSON] = [training.folder.name for training in self.trainings(self._first(), self.plans[0])]
        rungs: list[JSON] = [[plan.mixes, plan.iterations, list(plan.seeds)] for plan in self.plans]
        return {"runs": runs, "rungs": rungs}

    def _first(self) -> tuple[str, ...]:
        return (*self.options.baselines, *self.options.candidates)

    def trainings(self, mixes: Sequence[str], plan: RungPlan) -> list[Training]:
        """These mixes with the seeds of a rung; the images that are held back are measured on."""
        share = self.config.judge.held_back
        return mix_trainings(self.job, mixes, plan.seeds, plan.iterations, share, SEARCH_RUNS)

    def finished(self, undone: frozenset[str]) -> int:
        """Number of finished trainings of any candidate in any rung; none is known before their data is."""
        if undone & set(self.reads):
            return 0
        folders = [training.folder for plan in self.plans for training in self.trainings(self._first(), plan)]
        return min(sum((folder / RESULT).is_file() for folder in folders), self.size().units)

    def is_begun(self) -> bool:
        """Whether the result is there, or any finished training."""
        return self.is_whole() or any(self._runs.glob(f"*/{RESULT}"))

    @property
    def _runs(self) -> Path:
        return self.workspace.artifact(SEARCH_RUNS)

    def build(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Train rung after rung; a training that is finished is not repeated."""
        from downstream.statistics.counts import read_counts
        from downstream.statistics.runs import labelled_miou

        train_teachers(self, self.options.candidates, tools)
        curated, raw = (self.job.step(step).url for step in (CurateStep, GenerateStep))

        def train(mixes: Sequence[str], plan: RungPlan) -> dict[tuple[str, int], Outcome]:
            trainings = self.trainings(mixes, plan)
            found: dict[tuple[str, int], Outcome] = {}
            for training, result in zip(trainings, attempt_all(self, trainings, tools, curated, raw), strict=True):
                if isinstance(result, str):
                    found[training.mix, training.seed] = result
                    continue
                counts = read_counts(training.folder)
                assert counts is not None
                # As in the comparison: over the classes that occur in the labels.
                found[training.mix, training.seed] = labelled_miou(counts)
            return found

        def report(line: str) -> None:
            tools.report(f"{self.name}: {line}")

        result = halve(self.options.candidates, self.plans, train, self.images, report)
        write_json(path / SEARCH, result.to_json())
        facts |= {"winner": result.winner, "sentence": result.sentence}
        return result.sentence

    def clean(self) -> None:
        """Remove all trainings."""
        shutil.rmtree(self._runs, ignore_errors=True)
