"""docs/api.md and docs/conditioning.md: their snippets run as they are, in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, python_blocks, run_code


def test_the_snippets_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "api"}
    blocks = python_blocks(DOCS / "api.md")
    assert len(blocks) >= 10
    for line, code in blocks:
        run_code(code, "docs/api.md", namespace, line)
    assert [image.shape for image in namespace["painted"]] == [(96, 192, 3)] * 3
    assert namespace["layout"].shape == (20, 12, 24)
    assert namespace["receipt"].samples == 6 and namespace["done"].samples == 6
    assert [result.mix for result in namespace["results"]] == ["real", "real+synthetic"]
    assert namespace["prediction"].shape == (1, 96, 192)


def test_the_snippet_of_conditionings_runs() -> None:
    namespace: dict[str, Any] = {"__name__": "conditioning"}
    [(line, code)] = python_blocks(DOCS / "conditioning.md")
    run_code(code, "docs/conditioning.md", namespace, line)
    assert namespace["maps"].shape == (1, 64, 12, 24) and namespace["picture"].shape == (96, 192, 3)
