"""The plain folder: images, masks and a list of classes."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.export.class_file import write_classes
from pipeline.export.destination import Destination
from pipeline.export.exported_store import ExportedStore, Item
from pipeline.export.format import Written
from pipeline.store.codec import INSTANCES, LABEL


class FolderFormat:
    """``images/<split>/<name>``, ``masks/<split>/<name>.png`` and ``instances/<split>/<name>.png``: the store's bytes.

    A mask holds train ids, 8-bit or 16-bit; ``classes.json`` names their classes. An image without a label has no
    mask.
    """

    def __init__(self, store: ExportedStore, destination: Destination) -> None:
        self._store, self._destination = store, destination
        self._has_masks = False

    def named(self, items: Sequence[Item]) -> list[Item]:
        """The items unchanged."""
        return list(items)

    def check(self, items: Sequence[Item]) -> None:
        """Any image may lack a label."""

    def write(self, item: Item) -> Written:
        """Copy the members of a sample."""
        store = self._store
        sample, members = store.read(item.key)
        path = f"images/{item.split}/{item.name}.{store.image_format}"
        self._destination.write(path, members[store.image_format])
        for folder, extension in (("masks", LABEL), ("instances", INSTANCES)):
            if extension in members:
                self._destination.write(f"{folder}/{item.split}/{item.name}.png", members[extension])
        return Written(path, sample.metadata, {"has_mask": sample.label is not None})

    def collect(self, item: Item, written: Written) -> None:  # noqa: ARG002
        """Remember whether any sample has a mask."""
        self._has_masks = self._has_masks or written.notes["has_mask"]

    def finish(self) -> None:
        """Write the classes if any sample has a mask."""
        if self._store.taxonomy is not None and self._has_masks:
            write_classes(self._store, self._destination)
