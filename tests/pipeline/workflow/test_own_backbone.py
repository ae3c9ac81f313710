"""A run on a backbone of one's own, named by its import path, up to layouts; a change of its source is noticed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from augment.layouts.basis import LayoutBasis
from pipeline.config import Config
from pipeline.store import SampleReader, Store
from pipeline.workflow.run import Selection, run
from tests.augment.backbones import pooled_colors
from tests.augment.backbones.small_models import save_random_model


def test_layouts_of_a_run(configure: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "backbone_of_this_run.py"
    shutil.copy(str(pooled_colors.__file__), module)
    overrides = (
        "backbone.name=backbone_of_this_run:PooledColors",
        "generator.adapter=null",
        "layout={k_max: 4, basis: own}",
        "adapt.steps=1",
    )
    config = configure(tmp_path / "space", *overrides)
    run(config, Selection(until="extract"), print)
    basis = LayoutBasis.load(tmp_path / "space" / "basis" / "layouts")
    assert (basis.backbone, len(basis.mean)) == ("backbone_of_this_run:PooledColors", 6)
    reader = SampleReader(Store.open(str(tmp_path / "space" / "layouts")))
    layouts = [reader.read(key).layout for key in reader.keys]
    assert len(layouts) == 7
    assert all(layout is not None and layout.shape == (4, 4, 8) and np.isfinite(layout).all() for layout in layouts)

    module.write_text(module.read_text() + "# changed\n")
    with pytest.raises(UserError, match=r"basis was made from other inputs \(.*backbone\.name"):
        run(config, Selection(until="extract"), print)


def test_layouts_of_several_backbones(configure: Callable[..., Config], tmp_path: Path) -> None:
    save_random_model("clip", tmp_path / "clip")
    names = [f"{tmp_path / 'clip'}?layer=1", "lumen-tiny?block=2"]
    own = ("generator.adapter=null", "layout={k_max: 4, basis: own}", "adapt.steps=1")
    listed = ", ".join(f'"{name}"' for name in names)
    config = configure(tmp_path / "space", f"backbone.name=[{listed}]", *own)
    run(config, Selection(until="extract"), print)
    basis = LayoutBasis.load(tmp_path / "space" / "basis" / "layouts")
    assert basis.backbone == " + ".join(names) and basis.scale is not None
    assert np.unique(basis.scale[:32]).size == np.unique(basis.scale[32:]).size == 1 and len(basis.mean) == 32 + 80
    reader = SampleReader(Store.open(str(tmp_path / "space" / "layouts")))
    layouts = [reader.read(key).layout for key in reader.keys if key.startswith("train")]
    assert len(layouts) == 5 and all(layout is not None and layout.shape == (4, 4, 8) for layout in layouts)

    other = configure(tmp_path / "space", f'backbone.name=["{names[0][:-1]}0", "{names[1]}"]', *own)
    with pytest.raises(UserError, match=r"basis was made from other inputs \(.*layer"):
        run(other, Selection(until="extract"), print)
