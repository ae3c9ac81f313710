"""A curation whose synthetic images have become more is tried on all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection
from pipeline.workflow.verify import verify
from pipeline.workspace.artifact import read_record
from tests.pipeline.workflow.test_variants_by_hardness import with_judge

Configure = Callable[..., Config]


def test_trial_is_repeated_where_there_are_more_images_and_only_there(copied: Path, configure: Configure) -> None:
    with_judge(configure(copied))

    def tried(variants: int) -> tuple[Any, list[str]]:
        lines: list[str] = []
        run(configure(copied, f"generate.variants={variants}"), Selection(until="curate"), lines.append)
        record = read_record(copied / "scale")
        assert record is not None
        return record, [line for line in lines if "its own trial" in line]

    first, said = tried(2)
    assert len(said) == 1 and first.facts["trial"]["own labels"]["images"] == 20
    more, said = tried(3)
    assert len(said) == 1 and more.facts["trial"]["own labels"]["images"] == 30
    # The scale, and the images without a layout, do not depend on them.
    assert more.digest == first.digest and more.facts["trial"]["k = 0"] == first.facts["trial"]["k = 0"]
    same, said = tried(3)
    assert not said and same == more
    assert verify(str(copied)).faults == []
