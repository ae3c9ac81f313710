"""What to say where curation has left nothing to train on."""

from __future__ import annotations

import shlex

from augment.errors import UserError
from pipeline.config import Config
from pipeline.engine.errors import top_reasons
from pipeline.store import Store
from pipeline.workspace.workspace import Workspace


def require_some_curated(config: Config) -> None:
    """Check that the curated store, which is complete, holds a sample.

    Raises:
        UserError: it holds none; the message says what became of the synthetic images, why, and what to set.
    """
    space, settings = Workspace.of(config), config.curate
    made = Store.open(space.curated).totals()
    if made.samples:
        return
    became = []
    if made.dropped:
        became.append(f"{made.dropped} dropped ({top_reasons(made.drop_reasons)})")
    if made.failures:
        became.append(f"{made.failures} quarantined ({top_reasons(made.failure_reasons)})")
    command = f"lumen run {shlex.quote(str(space.config))}"
    raise UserError(
        f"curate has left none of {made.dropped + made.failures} synthetic training images for the mixes: "
        f"{' and '.join(became) or 'there were none'}. It drops an image of which the judge believes less than "
        f"curate.min_reliable={settings.min_reliable:g} of the labelled pixels: give a lower one, or a higher "
        f"curate.tolerance than {settings.tolerance:g}, with {command} --redo curate; or train the judge for longer "
        f"than judge.iterations={config.judge.iterations}, with --redo judge; or leave the mixes with synthetic data "
        "out of downstream.mixes"
    )
