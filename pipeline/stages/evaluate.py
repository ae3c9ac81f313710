"""evaluate: alignment and diversity of the synthetic images of the held-out split, by k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from augment.conditioning import LAYOUT, TITLES
from pipeline.engine import FittingBatches, Resources, WorkUnit
from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.generate import GenerateStep
from pipeline.stages.judge import JudgeStep, load_judge, require_labels
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Step
from pipeline.stages.tools import Tools
from pipeline.stages.trainings import held_out
from pipeline.store import JSON
from pipeline.workspace.content import content_digest

if TYPE_CHECKING:
    import pyarrow as pa


class EvaluateStep(ArtifactStep):
    """Makes the table of alignment and diversity."""

    name = "evaluate"
    output = "evaluation.parquet"
    title = "the evaluation"
    kind = "evaluation"
    derived = True
    reads = ("shard", "generate", "judge")
    needs_labels = True
    needs_held_out = True

    def check(self, left: Sequence[Step]) -> list[str]:
        """Check that there are labels to compare with."""
        require_labels(self.job, left)
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
        }

    def build(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Let the judge score the synthetic images of the held-out split."""
        from downstream.comparison import write_table

        judge = self.job.step(JudgeStep)
        shortfall = judge.shortfall()
        task = Evaluate(
            str(judge.path) if shortfall is None else None,
            self.job.step(ShardStep).url,
            self.job.step(GenerateStep).url,
            held_out(self.job),
            **self.for_model,
        )
        [(_, table)] = tools.executor.map(task, [WorkUnit("evaluation-000000", ())])
        write_table(table, path)
        facts["rows"] = rows = table.to_pylist()
        facts["unfit"] = shortfall
        painted_on = ""
        if (conditioning := self.config.conditioning) != LAYOUT:
            facts["conditioning"] = conditioning
            painted_on = f"; painted on {TITLES[conditioning]}"
        if shortfall is not None:
            return f"no alignment, because the judge is unfit: {shortfall}; {judge.remedy}"
        shown = (
            f"k={row['k']} alignment {row['alignment']:.2f} ({row['images']} images of {row['sources']} sources)"
            for row in rows
            if row["alignment"] is not None
        )
        return f"{', '.join(shown) or 'no alignment'}; one judge{painted_on}"


@dataclass
class Evaluate:
    """Measures the synthetic images of a held-out split with the judge in a folder; None if the judge is unfit."""

    judge: str | None
    real: str
    synthetic: str
    split: str
    resources: Resources
    device: str
    batch_size: int
    name: str = "evaluate"

    def setup(self) -> None:
        """Nothing that outlives the one unit."""

    def run(self, _unit: WorkUnit) -> pa.Table:
        """The table by k; see `downstream.evaluation.evaluate`."""
        from downstream.evaluation import evaluate
        from pipeline.stages.fitting_judge import FittingJudge

        judge = None
        if self.judge is not None:
            judge = FittingJudge(load_judge(self.judge, self.device), FittingBatches(self.name, self.batch_size))
        return evaluate(judge, self.real, self.synthetic, self.split, self.batch_size)
