"""The file that says what the ids in exported labels mean."""

from __future__ import annotations

import json

from pipeline.datasets.readers.cityscapes import CLASSES
from pipeline.export.destination import Destination
from pipeline.export.source import Source
from pipeline.taxonomies.user import taxonomy_to_json


def write_classes(source: Source, destination: Destination) -> None:
    """Write the taxonomy of a labelled store as ``classes.json``."""
    assert source.taxonomy is not None
    content = json.dumps(taxonomy_to_json(source.taxonomy), ensure_ascii=False, indent=2)
    destination.write(CLASSES, f"{content}\n".encode())
