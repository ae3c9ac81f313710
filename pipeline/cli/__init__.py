"""The command line: `lumen COMMAND ...`. Importing it loads nothing heavy; each command imports what it needs."""

from __future__ import annotations

from pipeline.cli.entry import guarded, main

__all__ = ["guarded", "main"]
