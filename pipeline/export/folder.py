"""The plain folder: images, masks and a list of classes."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pipeline.export.destination import Destination
from pipeline.export.format import Written
from pipeline.export.source import Item, Source
from pipeline.store.codec import INSTANCES, LABEL
from pipeline.taxonomies.user import taxonomy_to_json

CLASSES = "classes.json"


class FolderFormat:
    """``images/<split>/<name>``, ``masks/<split>/<name>.png`` and ``instances/<split>/<name>.png``: the store's bytes.

    A mask holds train ids, 8-bit or 16-bit; ``classes.json`` says what they mean. An image without a label has no
    mask.
    """

    def __init__(self, source: Source, destination: Destination) -> None:
        self._source, self._destination = source, destination

    def named(self, items: Sequence[Item]) -> list[Item]:
        """The items as they are."""
        return list(items)

    def write(self, item: Item) -> Written:
        """Copy the members of a sample."""
        source = self._source
        path = f"images/{item.split}/{item.name}.{source.image_format}"
        self._destination.write(path, source.image(item.key))
        for folder, extension in (("masks", LABEL), ("instances", INSTANCES)):
            if (data := source.member(item.key, extension)) is not None:
                self._destination.write(f"{folder}/{item.split}/{item.name}.png", data)
        return Written(path, source.sample(item.key).metadata)

    def collect(self, item: Item, written: Written) -> None:
        """Nothing is noted."""

    def finish(self) -> None:
        """Write the classes."""
        taxonomy = self._source.taxonomy
        if taxonomy is None:
            return
        content = json.dumps(taxonomy_to_json(taxonomy), ensure_ascii=False, indent=2)
        self._destination.write(CLASSES, f"{content}\n".encode())
