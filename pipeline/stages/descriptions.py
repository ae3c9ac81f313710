"""Descriptions of stored samples, for training and generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from augment.prompts import Description, describe
from pipeline.datasets.table import CAPTIONS, attributes_in
from pipeline.store import Sample


def content_attributes(sample: Sample) -> dict[str, str]:
    """Attributes of an image's content: its medium, time of day, weather and others."""
    return attributes_in(sample.metadata)


def captions_of(sample: Sample) -> list[str]:
    """The captions that people or a model wrote about a real image."""
    found = sample.metadata.get(CAPTIONS, ())
    return [str(caption) for caption in found] if isinstance(found, Sequence) else []


def classes_of(sample: Sample, classes: Sequence[str]) -> list[str]:
    """The names of the classes in a sample's label, largest area first; empty without a label."""
    if sample.label is None:
        return []
    areas = np.bincount(sample.label.ravel(), minlength=len(classes))[: len(classes)]
    order = np.argsort(-areas, kind="stable")
    return [classes[train_id] for train_id in order if areas[train_id]]


def caption_of(
    sample: Sample, chosen: Mapping[str, str], classes: Sequence[str], generator: np.random.Generator
) -> Description:
    """What a sample's image shows with the attributes `chosen` in place of its own; see `describe`.

    Args:
        sample: the sample.
        chosen: attributes that replace those of the sample.
        classes: names of the train ids; empty if the store has no taxonomy.
        generator: of random numbers, to choose one of several captions.
    """
    return describe(content_attributes(sample), chosen, captions_of(sample), classes_of(sample, classes), generator)
