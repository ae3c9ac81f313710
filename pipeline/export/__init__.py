"""Stores as datasets in the formats that other tools read."""

from __future__ import annotations

from pipeline.export.export_store import FORMATS, FormatName, export_store

__all__ = ["FORMATS", "FormatName", "export_store"]
