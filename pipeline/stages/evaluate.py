"""evaluate: alignment, diversity and other measures of the synthetic images of the held-out split, by k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from augment.conditioning import LAYOUT, TITLES
from augment.errors import UserError
from downstream.fitness import Fitness
from downstream.segmenter_files import require_model
from pipeline.checks.clip import require_clip
from pipeline.checks.depth import require_depth
from pipeline.engine import WorkUnit
from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.evaluate_task import Evaluate
from pipeline.stages.fit import require_reachable_backbone
from pipeline.stages.generate import GenerateStep
from pipeline.stages.job import Job
from pipeline.stages.judge import JudgeStep, require_labels, require_trainable_segmenter
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Step
from pipeline.stages.tools import Tools
from pipeline.stages.trainings import Training, held_out, train_all, trainings_of
from pipeline.store import JSON
from pipeline.workspace.content import content_digest
from pipeline.workspace.model_files import backbone_identity, pinned_identity, pinned_revision


class EvaluateStep(ArtifactStep):
    """Makes the table of measures."""

    name = "evaluate"
    output = "evaluation.parquet"
    title = "the evaluation"
    kind = "evaluation"
    derived = True
    reads = ("shard", "generate", "judge")
    needs_labels = True
    needs_held_out = True

    @property
    def backbone(self) -> str:
        """The backbone of the features."""
        return self.config.evaluate.backbone or self.config.backbone.reference

    @property
    def second_job(self) -> Job:
        """The run with the second judge's model in place of the first one's; there must be one."""
        changed = {"model": self.config.evaluate.second_judge, "pretrained": None}
        downstream = self.config.downstream.model_copy(update=changed)
        return Job(self.config.model_copy(update={"downstream": downstream}))

    def check_settings(self) -> None:
        """Check that the second judge exists and is another model."""
        second = self.config.evaluate.second_judge
        if second is None:
            return
        if second == self.config.downstream.model:
            raise UserError(
                f"evaluate.second_judge={second}: that is downstream.model, which the first judge is; name a model of "
                "another architecture"
            )
        require_model(second)

    def check_models(self) -> None:
        """Check that the models that images are measured with exist."""
        options = self.config.evaluate
        if not options.images:
            return
        try:
            require_reachable_backbone(self.backbone)
        except UserError as error:
            raise UserError(
                f"evaluate: {error}; evaluate.backbone names another one, evaluate.images=0 leaves the features out"
            ) from error
        if options.depth_model is not None:
            require_depth(options.depth_model, "evaluate.depth_model")
        if options.clip_model is not None:
            require_clip(options.clip_model)

    def check(self, left: Sequence[Step]) -> list[str]:
        """Check that there are labels to compare with, and that the second judge can be trained."""
        require_labels(self.job, left)
        if self.config.evaluate.second_judge is not None:
            require_trainable_segmenter(self.second_job.step(JudgeStep))
        return []

    def inputs(self) -> Mapping[str, JSON]:
        """What the table depends on."""
        judge = self.job.step(JudgeStep)
        return {
            "judge": judge.record.digest,
            "real": content_digest(self.job.step(ShardStep).store),
            "synthetic": content_digest(self.job.step(GenerateStep).store),
            "split": held_out(self.job),
            **({"judged": False} if judge.shortfall() else {}),
            **self._changed(),
        }

    def _changed(self) -> Mapping[str, JSON]:
        """What differs from the options of earlier versions and from the defaults, so that their tables stay."""
        options, found = self.config.evaluate, dict[str, JSON]()
        if measures := options.measures:
            models: dict[str, JSON] = (
                {} if options.backbone is None else {"backbone": backbone_identity(options.backbone)}
            )
            found["measures"] = {**measures, **models, **self._models()}
        if options.images and options.backbone is None and self.config.conditioning != LAYOUT:
            # Layouts are of the backbone of the features; nothing else that is painted on is.
            found["features"] = backbone_identity(self.backbone)
        if options.second_judge is not None:
            found["second_judge"] = self._second_training().folder.name
        return found

    def _models(self) -> dict[str, Mapping[str, JSON]]:
        """The models that are named, by their options; of hub ids with the revision; see `pinned_identity`."""
        recorded = self.inputs_in(self.workspace, self.output).get("measures")
        before = recorded if isinstance(recorded, dict) else {}
        named = {option: getattr(self.config.evaluate, option) for option in ("clip_model", "depth_model")}
        return {option: pinned_identity(name, before.get(option)) for option, name in named.items() if name is not None}

    def _second_training(self) -> Training:
        options = self.config.judge
        [training] = trainings_of(
            self.second_job, ["real"], [options.seed], options.iterations, held_back=options.held_back
        )
        return training

    def build(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Let the judges score the synthetic images of the held-out split, and measure these."""
        from downstream.comparison import write_table

        judge = self.job.step(JudgeStep)
        shortfall = judge.shortfall()
        task = Evaluate(
            str(judge.path) if shortfall is None else None,
            self._second_judge(tools, facts),
            self.job.step(ShardStep).url,
            self.job.step(GenerateStep).url,
            held_out(self.job),
            self.backbone,
            self.config.evaluate,
            {option: pinned_revision(model) for option, model in self._models().items()},
            **self.for_model,
        )
        [(_, (table, closest))] = tools.executor.map(task, [WorkUnit("evaluation-000000", ())])
        write_table(table, path)
        facts["closest"] = closest
        facts["rows"] = rows = table.to_pylist()
        facts["unfit"] = shortfall
        painted_on = ""
        if (conditioning := self.config.conditioning) != LAYOUT:
            facts["conditioning"] = conditioning
            painted_on = f"; painted on {TITLES[conditioning]}"
        if shortfall is not None:
            return f"no alignment, because the judge is unfit: {shortfall}; {judge.remedy}"
        shown = (
            f"k={row['k']} alignment {row['alignment']:.2f}{_by_second(row)} "
            f"({row['images']} images of {row['sources']} sources)"
            for row in rows
            if row["alignment"] is not None
        )
        return f"{', '.join(shown) or 'no alignment'}; {self._judges(facts)}{painted_on}"

    def _judges(self, facts: Mapping[str, JSON]) -> str:
        """How many judges there are, and why one of two has not judged."""
        if self.config.evaluate.second_judge is None:
            return "one judge"
        second = facts["second_judge"]
        assert isinstance(second, dict)
        return f"one judge, as the second is unfit: {second['unfit']}" if second["unfit"] else "two judges"

    def _second_judge(self, tools: Tools, facts: dict[str, JSON]) -> str | None:
        """Folder of the second judge, trained here; None if there is none or it is unfit, which the facts say."""
        if self.config.evaluate.second_judge is None:
            return None
        training = self._second_training()
        [result] = train_all(self, [training], tools)
        fitness = Fitness.of(result)
        facts["second_judge"] = {
            "model": self.config.evaluate.second_judge,
            "fitness": asdict(fitness),
            "unfit": fitness.shortfall,
        }
        return str(training.folder) if fitness.shortfall is None else None


def _by_second(row: Mapping[str, Any]) -> str:
    second = row["second_alignment"]
    return "" if second is None else f" and {second:.2f}"
