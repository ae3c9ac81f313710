"""From a store to a dataset on disk, sample by sample, many at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from pipeline.datasets.readers.folder import LABELLED_SPLITS
from pipeline.datasets.table import TABLE
from pipeline.engine.overlap import ordered
from pipeline.export.cityscapes import CityscapesFormat
from pipeline.export.coco import CocoFormat
from pipeline.export.destination import Destination, new_destination
from pipeline.export.folder import FolderFormat
from pipeline.export.format import Format
from pipeline.export.source import Item, Source, select

FormatName = Literal["cityscapes", "folder", "coco"]
FORMATS: dict[FormatName, Callable[[Source, Destination], Format]] = {
    "cityscapes": CityscapesFormat,
    "folder": FolderFormat,
    "coco": CocoFormat,
}


@dataclass(frozen=True)
class Exported:
    """How many samples an export wrote, and how many have a label.

    ``labelled_in_part``: whether a split has some without and some with, or ``train`` or ``val`` none and another all.
    """

    samples: int
    labelled: int
    labelled_in_part: bool


def export_store(
    url: str, destination: str, format_name: FormatName, splits: Sequence[str] = (), limit: int | None = None
) -> Exported:
    """Write the samples of a store to a folder or URL that is absent or empty; says how many.

    Memory holds a few samples at a time, and for COCO the annotations. ``splits`` and ``limit`` (of each split)
    choose samples and change no name. ``metadata.jsonl``, written last, has a line for each sample: its key, split
    and whole metadata, and in ``file_name`` its image.

    Raises UserError for what the format cannot hold and for a destination that is not empty, CorruptStore where a
    sample does not decode. A local destination is then left as it was.
    """
    source = Source(url)
    with new_destination(destination) as target:
        writer = FORMATS[format_name](source, target)
        items = select(writer.named(source.items()), splits, limit)
        writer.check(items)
        workers = os.cpu_count() or 1
        with target.lines(TABLE) as table, ThreadPoolExecutor(workers) as pool:
            written = ordered(pool, writer.write, items, 2 * workers)
            for item, entry in zip(items, written, strict=True):
                table.write(_line(item, entry.file_name, entry.metadata))
                writer.collect(item, entry)
            writer.finish()
    kinds = {(item.split, item.labelled) for item in items}
    mixed = len(kinds) > len({split for split, _ in kinds})
    lacking = any((split, False) in kinds for split in LABELLED_SPLITS) and any(labelled for _, labelled in kinds)
    return Exported(len(items), sum(item.labelled for item in items), mixed or lacking)


def _line(item: Item, file_name: str, metadata: object) -> str:
    row = {"file_name": file_name, "key": item.key, "split": item.split, "metadata": metadata}
    return json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n"
