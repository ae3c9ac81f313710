"""`lumen plan`: show what a run would do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.cli.shared import add_config, add_json, add_stage, as_json, config_of, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe and the last stage."""
    add_config(parser)
    add_stage(parser, "--until", "plan a run that stops after this stage")
    add_json(parser)


def run(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Print a line for each stage, with what is done and what is left."""
    from pipeline.stages.store_step import StoreStep
    from pipeline.workflow.expected import expected_lines
    from pipeline.workflow.progress import plan_table, rows_of
    from pipeline.workflow.run import heading, outlook
    from pipeline.workflow.selection import Selection, chosen_of, steps_of

    config = config_of(options, overrides)
    steps = chosen_of(steps_of(config), Selection(until=options.until))
    standings, remarks = outlook(config, steps)
    rows = rows_of(standings)
    remarks += [remark for step in steps if isinstance(step, StoreStep) and (remark := step.remark())]
    if options.json:
        say(as_json(rows))
        return 0
    remarks += expected_lines(config, standings)
    say("\n".join([heading(config), *plan_table(rows), *remarks]))
    return 0
