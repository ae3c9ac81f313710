"""docs/configuration.md lists every key of the code as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from pipeline.cli import guarded
from pipeline.config import Config
from pipeline.config.schema import section_of
from pipeline.workflow.pretrain import PretrainConfig

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def models_in(schema: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield schema
    for field in schema.model_fields.values():
        if (section := section_of(field.annotation)) is not None:
            yield from models_in(section)


def test_the_page_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["config", "--reference"]) == 0
    page = capsys.readouterr().out
    assert PAGE.read_text() == page, "write it again: lumen config --reference > docs/configuration.md"


def test_the_page_has_every_key_of_every_model() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    names = [re.match(r"\| `(?:[\w.]+\.)?(\w+)` ", row) for row in rows]
    assert all(names)
    listed = {found[1] for found in names if found}
    for model in {*models_in(Config), *models_in(PretrainConfig)}:
        assert set(model.model_fields) <= listed, model
    assert all(len(re.split(r"(?<!\\)\|", row)) == 7 for row in rows)
    assert "| `generate.variants` | integer | `1` | 1 to 100 | images for each source and k |" in rows


def test_the_links_of_the_page_lead_to_its_headings() -> None:
    text = PAGE.read_text()
    headings = {re.sub(r"[^\w-]", "", found) for found in re.findall(r"^### (.*)$", text, re.MULTILINE)}
    links = set(re.findall(r"\(#(\w+)\)", text))
    assert links
    assert links <= {heading.lower() for heading in headings}
