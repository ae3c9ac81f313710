"""The configuration: its schema, and how it is composed from recipes and overrides."""

from __future__ import annotations

from pipeline.config.config import Config, config_class

__all__ = ["Config", "config_class"]
