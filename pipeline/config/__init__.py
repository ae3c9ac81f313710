"""What a run can be told: every key, its range, and what it means."""

from __future__ import annotations

from pipeline.config.config import Config
from pipeline.config.generation import BackboneConfig
from pipeline.config.sections import STAGES, Name, StageName
from pipeline.datasets import TRAIN_SPLIT

__all__ = [
    "STAGES",
    "TRAIN_SPLIT",
    "BackboneConfig",
    "Config",
    "Name",
    "StageName",
]
