"""`lumen layouts`: show what the layouts of a workspace keep at each k."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from augment.errors import UserError
from pipeline.cli.shared import add_json, add_workspace, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the workspace."""
    add_workspace(parser)
    add_json(parser)


def run(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Print the tables of every basis and the recommended ks; what is missing or outdated is made first."""
    from pipeline.inspection.curves import curve_lines
    from pipeline.stages.job import Job
    from pipeline.stages.probe import CHART, CURVES, ProbeStep
    from pipeline.workflow.kept_config import read_config
    from pipeline.workflow.run import run
    from pipeline.workflow.selection import Selection, select, steps_of
    from pipeline.workflow.survey import survey_so_far

    config = read_config(options.workspace)
    if why := ProbeStep.left_out(config):
        raise UserError(f"{options.workspace}: nothing to show: {why}")
    # Curves of another basis, or of other images, are measured again.
    steps = select(steps_of(config), Selection(until=ProbeStep.name))
    if not survey_so_far(steps)[-1].done:
        run(config, Selection(until=ProbeStep.name), (lambda _line: None) if options.json else say)
    step = Job(config).step(ProbeStep)
    if options.json:
        say(json.dumps(json.loads((step.path / CURVES).read_text())))
        return 0
    say("\n".join([*curve_lines(step.curves()), f"chart: {step.path / CHART}"]))
    return 0
