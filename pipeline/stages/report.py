"""report: the HTML page with images, measures and comparison."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.compare import CompareStep
from pipeline.stages.evaluate import EvaluateStep
from pipeline.stages.generate import GenerateStep
from pipeline.stages.probe import ProbeStep
from pipeline.stages.search import SearchStep
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
    needs_held_out = True
    # `lumen report` writes the page as well.
    only_by_run = False
    in_workers = False

    @property
    def reads(self) -> Collection[str]:
        """See `Step.reads`; the curves only of layouts."""
        made = [step.name for step in (ProbeStep, SearchStep) if not step.left_out(self.config)]
        return ("generate", "compare", "evaluate", *made)

    def inputs(self) -> Mapping[str, JSON]:
        """What the page depends on."""
        searched = {} if self.config.search is None else {"search": SearchStep.digest_in(self.workspace)}
        return {
            **searched,
            "tables": [step.digest_in(self.workspace) for step in (CompareStep, EvaluateStep, ProbeStep)],
            "synthetic": content_digest(self.job.step(GenerateStep).store),
            # The page names both, so that a copied workspace gets a page of its own.
            "name": self.config.name,
            "workspace": str(self.workspace.root.resolve()),
        }

    def require_own(self) -> None:
        """See `Step.require_own`; a page that `lumen report` has written is the step's own."""
        if not self._is_page_alone():
            super().require_own()

    def run(self, tools: Tools) -> str:
        """Make the page, in place of one that `lumen report` has written."""
        self._remove_page()
        return super().run(tools)

    def reset(self) -> None:
        """Remove the page."""
        self._remove_page()
        super().reset()

    def _remove_page(self) -> None:
        if self._is_page_alone():
            shutil.rmtree(self.path)

    def _is_page_alone(self) -> bool:
        # A kill may have left the scratch file of the page.
        return self.path.is_dir() and {item.name for item in self.path.iterdir()} <= {PAGE, f".{PAGE}.tmp"}

    def build(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:  # noqa: ARG002 - see `ArtifactStep`
        """Write the page."""
        from downstream.report import build_report

        space = self.workspace
        build_report(space.root, path / PAGE, held_out(self.job), space.store_root, self.config.name)
        return "written"
