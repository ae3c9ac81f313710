"""`lumen render`: render street scenes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from augment.errors import UserError
from pipeline.cli.shared import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder, and the number and size of the scenes."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to write to")
    parser.add_argument("--train", type=int, default=64, help="training scenes (default 64)")
    parser.add_argument("--val", type=int, default=16, help="validation scenes (default 16)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes (default 0)")
    parser.add_argument("--height", type=int, default=512, help="height in pixels (default 512)")
    parser.add_argument("--width", type=int, default=1024, help="width in pixels (default 1024)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one for each core)")


def run(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Render the scenes and print how many there are."""
    from pipeline.scenes import write_dataset

    counts = {"train": options.train, "val": options.val}
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: give 0 or more")
    write_dataset(options.folder, counts, options.seed, options.height, options.width, options.workers)
    say(f"{sum(counts.values())} scenes in {options.folder}")
    return 0
