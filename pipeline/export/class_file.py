"""The file with the classes of exported labels."""

from __future__ import annotations

import json

from pipeline.datasets.readers.cityscapes import CLASSES
from pipeline.export.destination import Destination
from pipeline.export.exported_store import ExportedStore
from pipeline.taxonomies.user import taxonomy_to_json


def write_classes(store: ExportedStore, destination: Destination) -> None:
    """Write the taxonomy of a labelled store as ``classes.json``."""
    assert store.taxonomy is not None
    content = json.dumps(taxonomy_to_json(store.taxonomy), ensure_ascii=False, indent=2)
    destination.write(CLASSES, f"{content}\n".encode())
