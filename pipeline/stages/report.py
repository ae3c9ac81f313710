"""report: the HTML page with images, measures and comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.compare import CompareStep
from pipeline.stages.evaluate import EvaluateStep
from pipeline.stages.generate import GenerateStep
from pipeline.stages.tools import Tools
from pipeline.stages.trainings import held_out
from pipeline.store import JSON
from pipeline.workspace.content import content_digest

PAGE = "index.html"


class ReportStep(ArtifactStep):
    """Makes the folder with the page."""

    name = "report"
    output = "report"
    title = "the report"
    kind = "report"
    derived = True
    reads = ("generate", "compare", "evaluate")
    needs_held_out = True
    # `lumen report` writes the page as well.
    only_by_run = False
    in_workers = False

    def inputs(self) -> Mapping[str, JSON]:
        """What the page depends on."""
        return {
            "tables": [CompareStep.digest_in(self.workspace), EvaluateStep.digest_in(self.workspace)],
            "synthetic": content_digest(self.job.step(GenerateStep).store),
            # The page names both, so that a copied workspace gets a page of its own.
            "name": self.config.name,
            "workspace": str(self.workspace.root.resolve()),
        }

    def build(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:  # noqa: ARG002 - see `ArtifactStep`
        """Write the page."""
        from downstream.report import build_report

        space = self.workspace
        build_report(space.root, path / PAGE, held_out(self.job), space.store_root, self.config.name)
        return "written"
