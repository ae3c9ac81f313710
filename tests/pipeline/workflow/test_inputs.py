"""What results are made from, as their manifests and records say, stays what it was."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.paths import MANIFEST
from pipeline.workflow.run import run
from pipeline.workflow.run_history import HISTORY
from pipeline.workflow.selection import Selection
from tests.pipeline.workflow.faked import changed

INPUTS = json.loads(Path(__file__).with_name("inputs.json").read_text())


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("name", ["used as it is", "trained on a sample"])
def test_inputs_of_every_result_are_those_of_earlier_versions(base: dict[str, Any], tmp_path: Path, name: str) -> None:
    """Another key, or another value of it, would make all workspaces of earlier versions another run's.

    Where a default has changed, the test asks for what the earlier one was.
    """
    run(changed(base, tmp_path / "space", INPUTS[name]["changes"]), Selection(), lambda _: None)
    assert inputs_in(tmp_path / "space") == INPUTS[name]["results"]


def inputs_in(space: Path) -> dict[str, Any]:
    """What each store and artifact was made from; digests and names of temporary folders by what they are."""
    found: dict[str, Any] = {}
    for path in sorted(space.glob(f"*/{MANIFEST}")):
        found[path.parent.name] = json.loads(path.read_text())
    for path in sorted({*space.glob("*/artifact.json"), *space.glob("*.json")} - {space / HISTORY}):
        record = json.loads(path.read_text())
        found[path.relative_to(space).as_posix()] = {"kind": record["kind"], "inputs": record["inputs"]}
    text = json.dumps(found, sort_keys=True).replace(str(space.resolve()), "WORKSPACE")
    text = re.sub(r'"[0-9a-f]{64}"', '"SHA256"', text)
    text = re.sub(r'"name": "(?:data|models)\d+"', '"name": "FOLDER"', text)
    return json.loads(re.sub(r"-seed(\d)-[0-9a-f]{8}", r"-seed\1-SHA256", text))
