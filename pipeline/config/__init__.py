"""What a run can be told: every key, its range, and what it means."""

from __future__ import annotations

from pipeline.config.config import Config
from pipeline.config.generation import BackboneConfig
from pipeline.config.sections import REPORTING_KEYS, STAGES, Name, StageName
from pipeline.config.value import mix_weights
from pipeline.datasets import TRAIN_SPLIT

__all__ = [
    "REPORTING_KEYS",
    "STAGES",
    "TRAIN_SPLIT",
    "BackboneConfig",
    "Config",
    "Name",
    "StageName",
    "mix_weights",
]
