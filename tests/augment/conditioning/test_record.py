"""An adapter says what it reads, and is loaded with just that; one that says nothing reads neural layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from augment.conditioning import Conditioning
from augment.conditioning.canny import Canny
from augment.conditioning.label_map import LabelMap
from augment.conditioning.loading import conditioning_of
from augment.conditioning.neural_layout import NeuralLayout
from augment.conditioning.record import CONDITIONING_FILE, changed_facts, save_conditioning, saved_conditioning
from augment.conditioning.soft_edge import SoftEdge
from augment.errors import UserError
from augment.lumen import zoo

KINDS = [Canny(20, 60), SoftEdge(3), LabelMap(("road", "sky"), 65535)]
TINY = zoo.ZOO / "lumen-tiny" / "adapter"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_conditioning_comes_back_from_its_record(kind: Conditioning, tmp_path: Path) -> None:
    save_conditioning(kind, tmp_path)
    assert saved_conditioning(tmp_path) == kind.facts()
    assert conditioning_of(tmp_path) == kind


def test_an_adapter_without_a_record_reads_neural_layouts(tmp_path: Path) -> None:
    assert saved_conditioning(TINY) == {"kind": "layout"}
    layout = conditioning_of(TINY)
    assert isinstance(layout, NeuralLayout) and layout.channels == 20
    maps = layout.maps(np.zeros((2, 16, 24, 3), np.uint8))
    assert maps.dtype == np.float16 and maps.shape == (2, 20, 2, 3)
    save_conditioning(layout, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"kind": "canny"}', "is damaged"),
        ('{"kind": "canny", "channels": 64, "low": 100}', r"is damaged \(no high\)"),
        ('{"kind": "normals", "channels": 3}', "conditioning 'normals' is not one of layout, canny"),
    ],
)
def test_a_record_that_is_damaged_or_unknown_is_refused(content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / CONDITIONING_FILE).write_text(content)
    with pytest.raises(UserError, match=f"{CONDITIONING_FILE}.* {expected}"):
        saved_conditioning(tmp_path)


def test_only_facts_of_both_are_compared_and_the_place_of_a_model_is_none() -> None:
    saved = {"kind": "depth", "channels": 16, "model": "/here", "revision": "ab"}
    assert changed_facts(saved, {"kind": "depth", "channels": 16}) == ""
    assert changed_facts(saved, {**saved, "model": "/there"}) == ""
    assert changed_facts(saved, {**saved, "revision": "cd"}) == "revision ab and not cd"
