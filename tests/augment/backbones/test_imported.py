"""A backbone of one's own is named by its import path, and mistakes in it are one line."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from augment.backbones import LayeredBackbone, is_import_path, load_backbone
from augment.errors import UserError
from augment.import_path import source_file
from augment.layouts.basis import LayoutBasis
from augment.layouts.extraction import extract_layouts
from augment.layouts.moments import FeatureMoments
from pipeline.checks.models import require_backbone
from pipeline.stages.fit import require_reachable_backbone
from pipeline.workspace.model_files import backbone_identity

MODULE = "tests.augment.backbones.pooled_colors"
NAME = f"{MODULE}:PooledColors"


@pytest.mark.parametrize("name", ["facebook/dinov2-base", "/models/dino", "C:\\dino", "dinov2-vits14", "a:b:c", ":A"])
def test_other_names_are_no_import_paths(name: str) -> None:
    assert not is_import_path(name)


def test_it_gives_layouts_like_any_other() -> None:
    images = np.random.default_rng(0).integers(256, size=(4, 32, 48, 3), dtype=np.uint8)
    backbone = load_backbone(NAME)
    moments = FeatureMoments.of(backbone.features(images).permute(0, 2, 3, 1).reshape(-1, 6).numpy())
    basis = LayoutBasis.fit(moments, 3, backbone.name, backbone.revision)
    assert extract_layouts(images, backbone, basis).shape == (4, 3, 4, 6)
    assert basis.digest != LayoutBasis.fit(moments, 3, backbone.name, "another revision").digest
    assert not isinstance(backbone, LayeredBackbone)


def test_it_passes_the_checks_before_a_run() -> None:
    require_reachable_backbone(NAME)
    assert require_backbone(NAME) == 6


def test_its_source_is_part_of_what_stages_depend_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "my_backbone.py"
    module.write_text("raise RuntimeError('an identity needs no import')\n")
    assert source_file("my_backbone:Mine") == module
    before = backbone_identity("my_backbone:Mine")
    module.write_text("raise RuntimeError('other source')\n")
    assert before["name"] == "my_backbone:Mine"  # type: ignore[index, call-overload]
    assert backbone_identity("my_backbone:Mine") != before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_package.module:Mine", "No module named 'no_such_package'.*PYTHONPATH"),
        (f"{MODULE}:Missing", "has no attribute 'Missing'.*module:Class"),
        (f"{MODULE}:NUMBER", "not callable: name a class"),
        ("math:sqrt", "cannot be called with .str, str."),
        (f"{MODULE}:Nameless", "Nameless has no name, revision, channels, features: .*Backbone lists"),
    ],
)
def test_mistakes_are_one_line(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_backbone(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["no_such_package.module:Mine", "no_such_module:Mine", "sys:Mine"])
def test_a_module_without_a_file_has_no_source(name: str) -> None:
    with pytest.raises(UserError, match="PYTHONPATH"):
        source_file(name)


def test_a_module_without_a_specification_has_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "interactive", ModuleType("interactive"))
    with pytest.raises(UserError, match="PYTHONPATH"):
        source_file("interactive:Mine")
