"""Rows of progress as `lumen plan` shows them."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.stages.step import Step
from pipeline.workflow.progress import Row, rows_of
from pipeline.workflow.survey import survey


def progress(steps: Sequence[Step]) -> list[Row]:
    """A row for every stage."""
    return rows_of(survey(steps))
