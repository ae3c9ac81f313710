"""`lumen export`: write a store as a dataset."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.cli.shared import add_limit, require_limit, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the store, the destination and the format."""
    parser.add_argument("store", metavar="STORE", help="folder or URL of a store with images")
    parser.add_argument("destination", metavar="DEST", help="folder or URL that does not exist yet, or is empty")
    parser.add_argument("--format", required=True, choices=("cityscapes", "folder", "coco"), help="format to write")
    parser.add_argument("--split", action="append", default=[], metavar="S", help="this split alone; may be repeated")
    add_limit(parser, "samples")


def run(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Write the dataset and print how many samples it has."""
    from pipeline.export import export_store

    require_limit(options)
    done = export_store(options.store, options.destination, options.format, options.split, options.limit)
    # The reader of folders expects masks for all images of a split or for none, unless partly_labelled is set.
    in_part = options.format == "folder" and done.labelled_in_part
    hint = f", {done.labelled} of them labelled: read it with dataset.folder.partly_labelled=true" if in_part else ""
    say(f"{done.samples} samples in {options.destination}{hint}")
    return 0
