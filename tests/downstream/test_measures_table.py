"""The table of measures on the page."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from downstream.evaluation import SCHEMA


def page(rows: list[dict[str, Any]]) -> str:
    environment = Environment(loader=PackageLoader("downstream", "."), autoescape=True, undefined=StrictUndefined)
    html = environment.get_template("measures.html.jinja").render(evaluation=rows)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_numbers_stand_beside_their_floors_and_missing_ones_have_a_reason() -> None:
    measured = {"measured_sources": 60, "kernel": 1.234, "kernel_spread": 0.111, "patch_diversity": 0.4567}
    floors = {"kernel_floor": -0.01, "kernel_floor_spread": 0.02, "patch_diversity_of_noise": 0.0321}
    row = {"k": 5, **measured, **floors, "not_measured": ["frechet: halves of <30> images"]}
    text = page(SCHEMA.empty_table().from_pylist([row], SCHEMA).to_pylist())
    for shown in ("k = 5", "60", "0.457", "noise 0.032", "1.23 ± 0.11", "photographs -0.01 ± 0.02", "–"):
        assert shown in text
    assert "Not measured: frechet: halves of &lt;30&gt; images." in text
    assert "second judge" not in text
    assert "second judge" in page(
        SCHEMA.empty_table().from_pylist([{**row, "second_alignment": 0.5}], SCHEMA).to_pylist()
    )


def test_tables_without_measures_have_no_section() -> None:
    assert page([{"k": 1, "alignment": 0.5, "diversity": 0.1}]).strip() == page([]).strip() == ""
