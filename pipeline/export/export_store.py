"""Write the samples of a store as a dataset on disk, in several threads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from pipeline.datasets.readers.folder import LABELLED_SPLITS
from pipeline.datasets.table import TABLE
from pipeline.engine import ordered
from pipeline.export.cityscapes import CityscapesFormat
from pipeline.export.coco import CocoFormat
from pipeline.export.destination import Destination, new_destination
from pipeline.export.exported_store import ExportedStore, Item, select
from pipeline.export.folder import FolderFormat
from pipeline.export.format import Format

FormatName = Literal["cityscapes", "folder", "coco"]
FORMATS: dict[FormatName, Callable[[ExportedStore, Destination], Format]] = {
    "cityscapes": CityscapesFormat,
    "folder": FolderFormat,
    "coco": CocoFormat,
}


@dataclass(frozen=True)
class Exported:
    """How many samples an export wrote, and how many of them have a label.

    ``labelled_in_part``: whether one split has samples with and without labels, or whether samples of ``train`` or
    ``val`` lack labels that other samples have.
    """

    samples: int
    labelled: int
    labelled_in_part: bool


def export_store(
    url: str, destination: str, format_name: FormatName, splits: Sequence[str] = (), limit: int | None = None
) -> Exported:
    """Write the samples of a store to a folder or URL that is absent or empty; returns their number.

    Memory holds a few samples at a time, and for COCO the annotations. ``splits`` and ``limit`` (of each split)
    choose samples and change no name. ``metadata.jsonl``, written last, has a line for each sample: its key, split
    and whole metadata, and the path of its image as ``file_name``.

    Raises UserError for samples that the format cannot hold and for a destination that is not empty, CorruptStore if
    a sample does not decode. A local destination is then left unchanged.
    """
    store = ExportedStore(url)
    with new_destination(destination) as target:
        writer = FORMATS[format_name](store, target)
        items = select(writer.named(store.items()), splits, limit)
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
