"""docs/tutorial.ipynb: it runs from beginning to end, and is kept with its outputs."""

from __future__ import annotations

import ast
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, run_code

NOTEBOOK = DOCS / "tutorial.ipynb"
MOST_BYTES = 400_000


def cells(kind: str) -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def shows(code: str) -> bool:
    """Whether a cell prints, or ends in an expression that a notebook shows."""
    last = ast.parse(code).body[-1]
    return isinstance(last, ast.Expr) or "print" in code


def test_the_cells_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    namespace: dict[str, Any] = {"__name__": "tutorial"}
    for number, cell in enumerate(cells("code"), 1):
        run_code("".join(cell["source"]), f"docs/tutorial.ipynb, cell {number}", namespace)
    assert namespace["folder"].is_relative_to(tmp_path)
    assert namespace["receipt"].samples == 8
    assert all(0 < result.miou < 1 for result in namespace["results"])
    assert namespace["prediction"].shape == namespace["held_out"].label.shape


def test_it_is_kept_with_the_outputs_of_one_run_from_the_top() -> None:
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    code = cells("code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        outputs = cell["outputs"]
        assert bool(outputs) == shows("".join(cell["source"])), cell["source"]
        assert all(output["output_type"] != "error" and output.get("name") != "stderr" for output in outputs)
