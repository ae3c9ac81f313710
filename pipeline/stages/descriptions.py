"""What a stored sample shows, in the words that training and generation use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from augment.prompts import Description, describe
from pipeline.datasets.table import CAPTIONS, attributes_in
from pipeline.store import Sample


def content_attributes(sample: Sample) -> dict[str, str]:
    """What is known of an image's content: its medium, time of day, weather and whatever else."""
    return attributes_in(sample.metadata)


def captions_of(sample: Sample) -> list[str]:
    """The sentences that people or a model wrote of a real image."""
    found = sample.metadata.get(CAPTIONS, ())
    return [str(caption) for caption in found] if isinstance(found, Sequence) else []


def classes_of(sample: Sample, classes: Sequence[str]) -> list[str]:
    """The names of the classes in a sample's label, largest area first; none where it has no label."""
    if sample.label is None:
        return []
    areas = np.bincount(sample.label.ravel(), minlength=len(classes))[: len(classes)]
    order = np.argsort(-areas, kind="stable")
    return [classes[train_id] for train_id in order if areas[train_id]]


def caption_of(
    sample: Sample, drawn: Mapping[str, str], classes: Sequence[str], generator: np.random.Generator
) -> Description:
    """What a sample's image shows with the attributes `drawn` in place of its own; see `describe`.

    `classes` are the names of the train ids, none where the store has no taxonomy.
    """
    return describe(content_attributes(sample), drawn, captions_of(sample), classes_of(sample, classes), generator)
