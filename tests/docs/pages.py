"""The code of the documentation, taken from its pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def python_blocks(page: Path) -> list[tuple[int, str]]:
    """The `python` blocks of a page, each with the number of its first line."""
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start(1)) + 1, found[1]) for found in _BLOCK.finditer(text)]


def run_code(code: str, where: str, namespace: dict[str, Any], line: int = 1) -> None:
    """Run code so that an error names the page and its line."""
    exec(compile("\n" * (line - 1) + code, where, "exec"), namespace)
