"""A dataset as the configuration describes it."""

from __future__ import annotations

from pipeline.config import DatasetConfig
from pipeline.datasets import CocoOptions, FolderOptions, HeldOut, Intake, Options


def options_of(settings: DatasetConfig | None) -> Options | None:
    """What is stated of the dataset's own kind; None where nothing is."""
    if settings is None:
        return None
    if settings.folder is not None:
        return FolderOptions(**settings.folder.model_dump())
    return None if settings.coco is None else CocoOptions(**settings.coco.model_dump())


def intake_of(settings: DatasetConfig | None) -> Intake:
    """Which of its images are read."""
    if settings is None:
        return Intake()
    held_out = HeldOut(**settings.held_out.model_dump()) if settings.held_out else None
    return Intake(settings.only_labelled, held_out)
