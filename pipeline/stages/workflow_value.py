"""The second half of the way: what the synthetic images are worth."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from augment.errors import UserError
from downstream.fitness import Fitness
from downstream.options import mix_weights
from downstream.results import RESULT, read_result
from pipeline.checks.resources import joins_cluster
from pipeline.config import TRAIN_SPLIT, Config, StageName
from pipeline.engine import Source, Stage, WorkUnit
from pipeline.stages import curate, fit
from pipeline.stages.curation import require_some_curated
from pipeline.stages.reading import StoreSource, keys_by_shard
from pipeline.stages.steps import ArtifactStep, Size, Step, StorePlan, StoreStep, Tools, resources_of
from pipeline.stages.workflow_generation import Generation
from pipeline.stages.workflow_layouts import Layouts
from pipeline.stages.workflow_tasks import Evaluate, Train, Training, load_judge
from pipeline.store import JSON, Manifest, Store, fingerprint, taxonomy_of
from pipeline.taxonomies import Taxonomy
from pipeline.workspace.artifact import Artifact, Record, discard, read_record
from pipeline.workspace.workspace import Workspace, content_digest

if TYPE_CHECKING:
    from downstream.results import RunResult

PAGE = "index.html"
# What trains on labels, or compares with them.
LABELLED_STAGES: tuple[StageName, ...] = ("judge", "curate", "compare", "evaluate")
# What trains the segmenter.
TRAINING_STAGES: tuple[StageName, ...] = ("judge", "compare")


@dataclass
class Value:
    """Plans the stages judge, curate, compare, evaluate and report of one run."""

    config: Config
    workspace: Workspace
    layouts: Layouts

    def steps(self) -> list[Step]:
        """The stages in order."""
        space = self.workspace
        return [
            ArtifactStep("judge", space.judge, self.judge, self.build_judge, reads=("shard",)),
            StoreStep(
                "curate",
                space.curated,
                self.plan_curate,
                self.curate_work,
                self.curated_size,
                self.fit_scale,
                self.forget_scale,
                grows_with="generate",
                remark=self.not_curated,
                reads=("shard", "judge"),
                check_prepared=self.check_scale,
            ),
            ArtifactStep(
                "compare",
                space.comparison,
                self.comparison,
                self.build_comparison,
                units=len(self.config.downstream.mixes) * len(self.config.downstream.seeds),
                derived=True,
                clean=self.forget_runs,
                reads=tuple(set().union(*map(self.sources_of, self.config.downstream.mixes))),
                finished=self.finished,
                begun=self.has_runs,
            ),
            ArtifactStep(
                "evaluate",
                space.evaluation,
                self.evaluation,
                self.build_evaluation,
                derived=True,
                reads=("shard", "generate", "judge"),
            ),
            ArtifactStep(
                "report",
                space.report,
                self.report,
                self.build_report,
                derived=True,
                reads=("generate", "compare", "evaluate"),
            ),
        ]

    def check(self, stages: Sequence[StageName]) -> None:
        """Look at what comes from outside, before anything is written.

        Raises:
            UserError: there is no such segmenter, or no weights for it, or it cannot be trained with the batch size,
                the image size and the classes asked for, or a label is missing that `stages` need.
        """
        if needing := [stage for stage in LABELLED_STAGES if stage in stages]:
            self.layouts.data.require_labels((TRAIN_SPLIT, self.split), needing)
        if "compare" in stages and "curate" not in stages:
            self.require_curated()
        from downstream.segmenters import require_model
        from downstream.trial import Trial, require_trainable

        settings, geometry = self.config.downstream, self.config.geometry
        size = geometry.height, geometry.width
        if settings.pretrained is not None and not settings.pretrained.is_file():
            raise UserError(f"downstream.pretrained: no weights at {settings.pretrained}")
        training = [stage for stage in TRAINING_STAGES if stage in stages]
        taxonomy = self.layouts.data.taxonomy
        if not training or taxonomy is None:
            require_model(settings.model)
            return
        device = resources_of(self.config, training[0]).device
        local = not joins_cluster(self.config)
        require_trainable(Trial(settings.training(1), size, len(taxonomy), taxonomy.ignore_index, device, local))

    @property
    def split(self) -> str:
        """The held-out split."""
        assert self.config.evaluate.split is not None
        return self.config.evaluate.split

    @property
    def real(self) -> Store:
        """The real store."""
        return self.layouts.real

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes of all labels of the run, which must be labelled."""
        taxonomy = taxonomy_of(self.real.manifest)
        assert taxonomy is not None
        return taxonomy

    @property
    def synthetic(self) -> Store:
        """The synthetic store."""
        return Store.open(self.workspace.synthetic)

    @property
    def curated(self) -> Store:
        """The curated store."""
        return Store.open(self.workspace.curated)

    @property
    def judge_record(self) -> Record:
        """Record of the judge, which must be there."""
        record = read_record(self.workspace.judge)
        if record is None:
            raise UserError(f"{self.workspace.judge} holds no judge: run the stages up to judge first")
        return record

    def shortfall(self) -> str | None:
        """What the judge lacks for its word to count, in words; None where it is fit, or not there."""
        result = read_result(self.workspace.judge)
        return Fitness.of(result).shortfall if result else None

    def not_curated(self) -> str:
        """That nothing is curated, and why, in a line; empty where the judge is fit, or not there."""
        if (shortfall := self.shortfall()) is None:
            return ""
        return f"curate: every pair is kept as it is, because the judge is unfit: {shortfall}; {self.better_judge}"

    @property
    def better_judge(self) -> str:
        """How to get a judge that has learned more."""
        iterations = self.config.judge.iterations
        return f"raise judge.iterations (now {iterations}) or take more labelled images, then run with --redo judge"

    # Trainings

    def trainings_of(self, mixes: Sequence[str], seeds: Sequence[int], iterations: int) -> list[Training]:
        """Every mix with every seed, each in a folder that is named after all that its result depends on."""
        options = self.config.downstream.training(iterations)
        # Each reads all receipts of a store.
        real = content_digest(self.real) if mixes else None
        synthetic = content_digest(self.curated) if any("synthetic" in mix_weights(mix) for mix in mixes) else None
        trainings = []
        for mix in mixes:
            weights = mix_weights(mix)
            for seed in seeds:
                digest = fingerprint(
                    {
                        "mix": {**weights},
                        "seed": seed,
                        "options": options.semantic,
                        "real": real,
                        "synthetic": synthetic if "synthetic" in weights else None,
                        "split": self.split,
                    }
                )
                folder = self.workspace.runs / f"{mix.replace('*', 'x')}-seed{seed}-{digest[:8]}"
                trainings.append(Training(mix, seed, options, folder))
        return trainings

    def train(self, stage: Literal["judge", "compare"], trainings: Sequence[Training], tools: Tools) -> list[RunResult]:
        """Results of the trainings, in their order; those that are finished are not done again."""
        space = self.workspace
        task = Train(
            trainings,
            space.real,
            space.curated,
            self.split,
            resources_of(self.config, stage).resources,
            stage,
        )
        units = {
            f"{training.mix}, seed {training.seed}": WorkUnit(f"run-{index:06d}", (), {"index": index})
            for index, training in enumerate(trainings)
        }

        def on_result(result: RunResult) -> None:
            tools.report(f"{stage}: {result.mix}, seed {result.seed}: {measured(result)}")

        return tools.train(task, units, on_result)

    # judge

    def judge(self) -> Artifact:
        """The segmenter trained on real training data alone."""
        inputs: dict[str, JSON] = {
            "real": content_digest(self.real),
            "seed": self.config.judge.seed,
            "options": self.config.downstream.training(self.config.judge.iterations).semantic,
        }
        return Artifact(self.workspace.judge, "judge", inputs, essence=("segmenter.*",))

    def build_judge(self, folder: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Train the judge as the comparison trains on real data, so that one run may serve both."""
        (training,) = self.trainings_of(["real"], [self.config.judge.seed], self.config.judge.iterations)
        (result,) = self.train("judge", [training], tools)
        shutil.copytree(training.folder, folder, dirs_exist_ok=True)
        fitness = Fitness.of(result)
        facts |= {"miou": result.miou, "images": result.images, "split": self.split, "fitness": asdict(fitness)}
        facts["unfit"] = fitness.shortfall
        if fitness.shortfall is None:
            return f"{measured(result)}; fit to judge: {fitness.known}"
        return (
            f"{measured(result)}; UNFIT to judge, so there will be no alignment and no curation: {fitness.shortfall}; "
            f"{self.better_judge}"
        )

    # curate

    def scale(self) -> Artifact:
        """What loss of the judge is usual for each class on real training data."""
        inputs: dict[str, JSON] = {
            "judge": self.judge_record.digest,
            "real": content_digest(self.real),
            "quantile": self.config.curate.quantile,
            "tolerance": self.config.curate.tolerance,
        }
        return Artifact(self.workspace.scale, "loss-scale", inputs)

    def check_scale(self) -> None:
        """Check that a loss scale that is there was fitted as it is asked for."""
        self.scale().require_match("curate")

    def fit_scale(self, tools: Tools) -> None:
        """Fit the loss scale on real training data, where it is not there and the judge is fit."""
        if line := self.not_curated():
            tools.report(line)
            return
        self.check_scale()
        if self.scale().is_done():
            return
        from augment.filtering import LossHistogram, LossScale

        settings = resources_of(self.config, "curate")
        task = curate.CountLosses(
            StoreSource(self.workspace.real, ("image", "label")),
            partial(load_judge, str(self.workspace.judge), settings.device),
            len(self.taxonomy),
            **settings.of_stage,
            ignore_index=self.taxonomy.ignore_index,
        )
        units = fit.plan(keys_by_shard(self.real))
        histogram = LossHistogram.merged(part for _, part in tools.executor.map(task, units))
        scale = LossScale.fit(histogram, self.taxonomy.classes, self.config.curate)
        with self.scale().building() as folder:
            scale.save(folder / curate.SCALE)

    def forget_scale(self) -> None:
        """Remove the loss scale."""
        discard(self.workspace.scale)

    def plan_curate(self) -> StorePlan:
        """The curated store: the training shards of the synthetic one, judged."""
        inputs: dict[str, JSON] = {
            "synthetic": self.synthetic.manifest.fingerprint,
            "judge": self.judge_record.digest,
            "options": self.config.curate.model_dump(),
            **({"judged": False} if self.shortfall() else {}),
        }
        manifest = Manifest(
            "curated",
            self.real.manifest.taxonomy,
            self.layouts.data.geometry,
            inputs,
            self.config.shard.image_format,
        )
        names = [name for name in sorted(self.synthetic.done()) if curate.is_training_shard(name)]
        return StorePlan(manifest, names, lambda: curate.plan(keys_by_shard(self.synthetic)))

    def curate_work(self) -> tuple[Stage, Source]:
        """Stage and source of curate."""
        settings = resources_of(self.config, "curate")
        source = StoreSource(self.workspace.synthetic, ("image", "label", "instances"))
        if self.shortfall():
            return curate.KeepAll(**settings.of_stage), source
        judge = partial(load_judge, str(self.workspace.judge), settings.device)
        stage = curate.Curate(
            judge,
            str(self.workspace.scale),
            self.config.curate.min_reliable,
            **settings.of_stage,
            ignore_index=self.taxonomy.ignore_index,
        )
        return stage, source

    def curated_size(self) -> Size:
        """Shards and samples of the curated store, if none is dropped."""
        if TRAIN_SPLIT not in self.config.generate.splits:
            return Size(0, 0)
        return Generation(self.config, self.workspace, self.layouts).size_of((TRAIN_SPLIT,))

    # compare

    def comparison(self) -> Artifact:
        """The table of what each mix led to."""
        runs: list[JSON] = [training.folder.name for training in self.trainings()]
        return Artifact(self.workspace.comparison, "comparison", {"runs": runs})

    def trainings(self) -> list[Training]:
        """Every mix with every seed."""
        settings = self.config.downstream
        return self.trainings_of(settings.mixes, settings.seeds, settings.iterations)

    def finished(self, undone: frozenset[StageName]) -> int:
        """How many trainings are finished, of those that read nothing of the stages ``undone``."""
        settings = self.config.downstream
        mixes = [mix for mix in settings.mixes if not undone & self.sources_of(mix)]
        trainings = self.trainings_of(mixes, settings.seeds, settings.iterations)
        return sum((training.folder / RESULT).is_file() for training in trainings)

    @staticmethod
    def sources_of(mix: str) -> set[StageName]:
        """The stages that make what a mix is trained on."""
        return {"shard", "curate"} if "synthetic" in mix_weights(mix) else {"shard"}

    def require_curated(self) -> None:
        """Check that curation has left something, where a mix needs it.

        Raises:
            UserError: it has not.
        """
        if any("curate" in self.sources_of(mix) for mix in self.config.downstream.mixes):
            require_some_curated(self.config)

    def has_runs(self) -> bool:
        """Whether any training is finished, whatever it was trained on."""
        return any(self.workspace.runs.glob(f"*/{RESULT}"))

    def build_comparison(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Train what is not trained yet, and put all results into one table."""
        self.require_curated()
        from downstream.comparison import comparison_table, summarize, write_table

        table = comparison_table(self.train("compare", self.trainings(), tools))
        write_table(table, path)
        facts["recommendation"] = recommendation = summarize(table).recommendation
        return recommendation

    def forget_runs(self) -> None:
        """Remove all trainings."""
        shutil.rmtree(self.workspace.runs, ignore_errors=True)

    # evaluate

    def evaluation(self) -> Artifact:
        """The table of alignment and diversity by k."""
        inputs: dict[str, JSON] = {
            "judge": self.judge_record.digest,
            "real": content_digest(self.layouts.real),
            "synthetic": content_digest(self.synthetic),
            "split": self.split,
            **({"judged": False} if self.shortfall() else {}),
        }
        return Artifact(self.workspace.evaluation, "evaluation", inputs)

    def build_evaluation(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Let the judge look at the synthetic images of the held-out split."""
        from downstream.comparison import write_table

        settings, shortfall = resources_of(self.config, "evaluate"), self.shortfall()
        task = Evaluate(
            str(self.workspace.judge) if shortfall is None else None,
            self.workspace.real,
            self.workspace.synthetic,
            self.split,
            **settings.of_model,
        )
        ((_, table),) = tools.executor.map(task, [WorkUnit("evaluation-000000", ())])
        write_table(table, path)
        facts["rows"] = rows = table.to_pylist()
        facts["unfit"] = shortfall
        if shortfall is not None:
            return f"no alignment, because the judge is unfit: {shortfall}; {self.better_judge}"
        shown = (
            f"k={row['k']} alignment {row['alignment']:.2f} ({row['images']} images of {row['sources']} sources)"
            for row in rows
            if row["alignment"] is not None
        )
        return f"{', '.join(shown) or 'no alignment'}; one judge"

    # report

    def report(self) -> Artifact:
        """The HTML page."""
        records = [read_record(path) for path in (self.workspace.comparison, self.workspace.evaluation)]
        inputs: dict[str, JSON] = {
            "tables": [record.digest if record else None for record in records],
            "synthetic": content_digest(self.synthetic),
            # The page names both, so that a copied workspace gets one of its own.
            "name": self.config.name,
            "workspace": str(self.workspace.root.resolve()),
        }
        return Artifact(self.workspace.report, "report", inputs)

    def build_report(self, folder: Path, _tools: Tools, _facts: dict[str, JSON]) -> str:
        """Write the page."""
        from downstream.report import build_report

        space = self.workspace
        build_report(space.root, folder / PAGE, self.split, space.store_root, self.config.name)
        return "written"


def measured(result: RunResult) -> str:
    """A result's mIoU, and what it was measured on."""
    images = "" if result.images is None else f"{result.images} images of "
    return f"mIoU {result.miou:.3f} on {images}{result.inputs['splits'][1]}"
