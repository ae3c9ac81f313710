"""`lumen inspect`: show what a dataset, a store or a workspace contains."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from augment.errors import UserError
from pipeline.cli.shared import add_json, add_limit, require_limit, say

if TYPE_CHECKING:
    from pipeline.datasets import DatasetOptions

SETTING = re.compile(r"\+{0,2}dataset\.[\w.]+=")
# Keys of a dataset that an inspection sets by its own arguments, or does not use.
NOT_SETTABLE = ("kind", "root", "splits", "limit", "sampling", "taxonomy", "render")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to inspect, and how much of it."""
    parser.usage = f"{parser.prog} TARGET [ROOT] [dataset.key=value ...] [options]"
    parser.epilog = "dataset.key=value says how to read the dataset, e.g. dataset.folder.mask_suffix=_mask.png"
    parser.set_defaults(takes_overrides=True)
    parser.add_argument("target", metavar="TARGET", help="a store, a workspace, or a kind of dataset")
    parser.add_argument("root", nargs="?", metavar="ROOT", help="folder or URL of the dataset, after a kind")
    parser.add_argument("--split", help="this split alone")
    add_limit(parser, "images")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="draw samples and labels into this PNG; FILE-STORE.png for several"
    )
    parser.add_argument(
        "--distance",
        type=int,
        choices=range(8),
        default=4,
        metavar="BITS",
        help="near-duplicates differ in at most this many of 64 bits (0 to 7, default 4)",
    )
    add_json(parser, "print all figures as JSON")


def run(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Print the figures of each store or dataset; return 1 where one has faults."""
    from pipeline.inspection import inspect, lines_of, subjects_of, write_sheets

    require_limit(options)
    if options.sheet and options.sheet.suffix.lower() != ".png":
        raise UserError(f"--sheet {options.sheet}: give a file that ends in .png")
    root, settings = root_and_settings(options.root, overrides)
    stated = dataset_settings(options.target, root, settings)
    subjects = subjects_of(options.target, root, options.split, options.limit, stated)
    sheets = write_sheets(subjects, options.sheet) if options.sheet else []
    reports = {name: inspect(subject, options.distance) for name, subject in subjects.items()}
    if options.json:
        say(json.dumps({name: report.to_json() for name, report in reports.items()}, indent=2))
    else:
        say("\n\n".join("\n".join(lines_of(report)) for report in reports.values()))
        for sheet in sheets:
            say(f"contact sheet: {sheet}")
    return 0 if all(report.is_sound for report in reports.values()) else 1


def root_and_settings(root: str | None, overrides: Sequence[str]) -> tuple[str | None, list[str]]:
    """The folder and the settings; argparse takes a setting for the folder where it comes first or alone."""
    settings = [word for word in (root, *overrides) if word is not None]
    root = next((word for word in settings if not SETTING.match(word)), None)
    if root is not None:
        settings.remove(root)
    if wrong := next((word for word in settings if not SETTING.match(word)), None):
        raise UserError(f"{wrong!r}: after its folder, an inspection takes only settings such as dataset.KEY=VALUE")
    return root, settings


def dataset_settings(target: str, root: str | None, settings: Sequence[str]) -> DatasetOptions | None:
    """The dataset that `dataset.KEY=VALUE` words describe; None without such words."""
    from pipeline.config.compose import settings_of
    from pipeline.config.validation import validate
    from pipeline.datasets import TRAIN_SPLIT, DatasetOptions
    from pipeline.datasets.options import DatasetSettings

    if not settings:
        return None
    if wrong := next((item for item in settings if item.split("=")[0].split(".")[1] in NOT_SETTABLE), None):
        settable = [name for name in DatasetOptions.model_fields if name not in NOT_SETTABLE]
        raise UserError(f"{wrong!r}: an inspection takes only these keys of dataset: {', '.join(settable)}")
    stated = settings_of(settings, DatasetSettings)["dataset"]
    held_out = stated.get("held_out")
    if isinstance(held_out, dict) and "split" in held_out:
        stated = {**stated, "splits": [TRAIN_SPLIT, held_out["split"]]}
    # Rendered scenes have the layout of Cityscapes, and an inspection renders nothing.
    kind = "cityscapes" if target == "rendered" else target
    return validate({"dataset": {"kind": kind, "root": root or ".", **stated}}, DatasetSettings).dataset
