"""What a dataset or a store holds: counts, classes, faults and near-duplicates."""

from __future__ import annotations

from pipeline.inspection.inspect import Report, inspect
from pipeline.inspection.layout_sheet import layout_sheet
from pipeline.inspection.sheet import contact_sheet, write_sheets
from pipeline.inspection.subject import Subject, dataset_subject, store_subject, subjects_of
from pipeline.inspection.text import lines_of

__all__ = [
    "Report",
    "Subject",
    "contact_sheet",
    "dataset_subject",
    "inspect",
    "layout_sheet",
    "lines_of",
    "store_subject",
    "subjects_of",
    "write_sheets",
]
