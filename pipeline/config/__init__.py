"""What a run can be told: every key, its range, and what it means."""

from __future__ import annotations

from pipeline.config.config import Config
from pipeline.config.data import DatasetConfig, DatasetSettings, FolderConfig, RenderConfig, SamplingConfig, SizeConfig
from pipeline.config.generation import BackboneConfig
from pipeline.config.sections import STAGES, TRAIN_SPLIT, Name, StageName

__all__ = [
    "STAGES",
    "TRAIN_SPLIT",
    "BackboneConfig",
    "Config",
    "DatasetConfig",
    "DatasetSettings",
    "FolderConfig",
    "Name",
    "RenderConfig",
    "SamplingConfig",
    "SizeConfig",
    "StageName",
]
