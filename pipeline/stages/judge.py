"""judge: the segmenter trained on real data alone, which scores synthetic data."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from augment.errors import UserError
from downstream.fitness import Fitness
from downstream.held_back import held_back_keys, labelled_keys
from downstream.results import read_result
from downstream.segmenter_files import require_model
from pipeline.checks.labels import check_stored_labels
from pipeline.checks.resources import joins_cluster
from pipeline.datasets import TRAIN_SPLIT
from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.job import Job
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Step, contents_of
from pipeline.stages.tools import Tools
from pipeline.stages.trainings import held_out, measured, train_all, trainings_of
from pipeline.store import JSON, taxonomy_of
from pipeline.taxonomies import Taxonomy
from pipeline.workspace.artifact import Record, read_record
from pipeline.workspace.content import content_digest

if TYPE_CHECKING:
    from downstream.judge import Judge


class JudgeStep(ArtifactStep):
    """Makes the judge."""

    name = "judge"
    output = "judge"
    title = "the judge"
    kind = "judge"
    essence = ("segmenter.*",)
    lineage = ("judge",)
    reads = ("shard",)
    needs_labels = True
    needs_held_out = True
    trains = True
    input_names: ClassVar[Mapping[str, str]] = {
        **contents_of(ShardStep),
        "options": "downstream",
        "options.iterations": "judge.iterations",
        "seed": "judge.seed",
        "held_back": "judge.held_back",
    }

    @property
    def record(self) -> Record:
        """The record of the judge, which must exist."""
        record = read_record(self.path)
        if record is None:
            raise UserError(f"{self.path} holds no judge: run the stages up to judge first")
        return record

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes of all labels of the run."""
        taxonomy = taxonomy_of(self.job.step(ShardStep).store.manifest)
        assert taxonomy is not None
        return taxonomy

    def shortfall(self) -> str | None:
        """Why the judge is unfit to score synthetic data; None if it is fit, or does not exist yet."""
        result = read_result(self.path)
        return Fitness.of(result).shortfall if result else None

    @property
    def remedy(self) -> str:
        """How to get a better judge."""
        iterations = self.config.judge.iterations
        return f"raise judge.iterations (now {iterations}) or take more labelled images, then run with --redo judge"

    def unseen(self, shards: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """The keys of shards of the real store, of training images that the judge has not learned from.

        All of them where none were held back.
        """
        share = self.config.judge.held_back
        found = held_back_keys(labelled_keys(self.job.step(ShardStep).store, TRAIN_SPLIT), share)
        if not found:
            return dict(shards)
        return {shard: tuple(key for key in keys if key in found) for shard, keys in shards.items()}

    def check_settings(self) -> None:
        """Check that the segmenter exists, and the weights it starts from."""
        options = self.config.downstream
        if options.pretrained is not None and not options.pretrained.is_file():
            raise UserError(f"downstream.pretrained: no weights at {options.pretrained}")
        require_model(options.model)

    def check(self, left: Sequence[Step]) -> list[str]:
        """Check that there are labels to learn from, and that the segmenter can be trained on them."""
        require_labels(self.job, left)
        if not any(isinstance(step, ShardStep) for step in left):
            check_stored_labels(self.job.images, self.job.step(ShardStep).store)
        require_trainable_segmenter(self)
        return []

    def inputs(self) -> Mapping[str, JSON]:
        """What the judge depends on."""
        options = self.config.judge
        return {
            "real": content_digest(self.job.step(ShardStep).store),
            "seed": options.seed,
            "options": self.config.downstream.training(options.iterations).semantic,
            **({"held_back": options.held_back} if options.held_back else {}),
        }

    def build(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Train the judge as the comparison trains on real data, but for the images that are held back.

        Where none are, one training may serve both.
        """
        options = self.config.judge
        trainings = trainings_of(self.job, ["real"], [options.seed], options.iterations, held_back=options.held_back)
        [result] = train_all(self, trainings, tools)
        shutil.copytree(trainings[0].folder, path, dirs_exist_ok=True)
        fitness = Fitness.of(result)
        facts |= {"miou": result.miou, "images": result.images, "split": held_out(self.job)}
        facts |= {"fitness": asdict(fitness), "unfit": fitness.shortfall}
        if fitness.shortfall is None:
            return f"{measured(result)}; fit to judge: {fitness.known}"
        return (
            f"{measured(result)}; UNFIT to judge, so there will be no alignment and no curation: {fitness.shortfall}; "
            f"{self.remedy}"
        )


def require_labels(job: Job, left: Sequence[Step]) -> None:
    """Check that every image which the stages that are left need a label of has one.

    Raises:
        UserError: one has none.
    """
    needing = [step.name for step in left if step.needs_labels]
    job.images.require_labels((TRAIN_SPLIT, held_out(job)), needing)


def require_trainable_segmenter(step: Step) -> None:
    """Check that a step of the segmenter's training succeeds with the batch size, image size and classes of the run.

    Raises:
        UserError: it does not.
    """
    from downstream.trial import Trial, require_trainable

    config, taxonomy = step.config, step.job.images.taxonomy
    if taxonomy is None:
        return
    size = config.geometry.height, config.geometry.width
    options, local = config.downstream.training(1), not joins_cluster(config)
    require_trainable(Trial(options, size, len(taxonomy), taxonomy.ignore_index, step.resources.device, local))


def load_judge(folder: str, device: str) -> Judge:
    """Load the judge, in the process that needs it."""
    from downstream.judge import Judge

    return Judge.load(Path(folder), device)
