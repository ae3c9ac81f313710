"""docs/extending.md: its modules run as they are, each in fewer than 40 lines."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cli import guarded
from pipeline.config.compose import load_config
from pipeline.stages.registry import STEPS
from pipeline.store import SampleReader, Store
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection
from tests.docs.pages import DOCS, python_blocks

MOST_LINES = 39
SMALL = ("dataset.render={train: 3, val: 1, height: 64, width: 128}", "geometry={height: 64, width: 128}")


def modules() -> dict[str, str]:
    """The modules of the page by the name in their first line."""
    blocks = [code for _, code in python_blocks(DOCS / "extending.md")]
    return {code.split("\n", 1)[0].removeprefix("# ").removesuffix(".py"): code for code in blocks}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the page's modules importable, and forget them afterwards."""
    for name, code in modules().items():
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    steps = list(STEPS)
    yield
    STEPS[:] = steps
    for name in modules():
        sys.modules.pop(name, None)


def test_each_module_is_short() -> None:
    lengths = {
        name: sum(bool(line.strip()) and not line.startswith("#") for line in code.splitlines())
        for name, code in modules().items()
    }
    assert set(lengths) == {"plots", "pixels", "daylight", "my_lumen"}
    assert not {name: lines for name, lines in lengths.items() if lines > MOST_LINES}


def test_the_dataset_is_sharded(tmp_path: Path) -> None:
    for year, plot in (("2024", "a"), ("2024", "b"), ("2025", "c")):
        photos, masks = (tmp_path / "fields" / year / name for name in ("photos", "masks"))
        for folder in (photos, masks):
            folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 32), "green").save(photos / f"{plot}.jpg")
        values = np.repeat(np.array([0, 10, 20, 30], np.uint8), 16)
        Image.fromarray(np.tile(values, (32, 1))).save(masks / f"{plot}.png")
    place = [f"dataset.root={tmp_path / 'fields'}", f"workspace={tmp_path / 'space'}", "cluster.executor=serial"]
    size = "geometry={height: 32, width: 64}"
    config = load_config("own", ["dataset.kind=plots:Plots", *place, size])
    run(config, Selection(until="shard"), print)
    reader = SampleReader(Store.open(str(tmp_path / "space" / "real")))
    assert reader.keys == ["train_a", "train_b", "val_c"]
    label = reader.read("train_a").label
    assert label is not None and label[0, ::16].tolist() == [255, 0, 1, 2]


def test_the_backbone_gives_layouts(tmp_path: Path) -> None:
    own = ["backbone.name=pixels:Pixels", "layout.basis=own", "adapt.steps=1"]
    config = load_config("quickstart", [*SMALL, *own, f"workspace={tmp_path / 'space'}", "cluster.executor=serial"])
    run(config, Selection(until="extract"), print)
    reader = SampleReader(Store.open(str(tmp_path / "space" / "layouts")))
    layout = reader.read(reader.keys[0]).layout
    assert layout is not None and layout.shape == (20, 8, 16)


def test_the_stage_is_a_command_s_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    importlib.import_module("my_lumen")
    space = tmp_path / "space"
    recipe = ["quickstart", *SMALL, f"workspace={space}", "cluster.executor=serial"]
    assert guarded(["run", *recipe, "--until", "daylight", "daylight.darkest=100"]) == 0
    real, bright = (SampleReader(Store.open(str(space / name))) for name in ("real", "bright"))
    kept = {sample.key for sample in real.samples() if sample.image is not None and sample.image.mean() >= 100}
    assert set(bright.keys) == kept and 0 < len(kept) < len(real)
    assert "dark" in capsys.readouterr().out
    assert guarded(["verify", str(space)]) == 0
    assert guarded(["run", *recipe, "--until", "daylight", "daylight.darkest=90"]) == 2
    assert "daylight.darkest: stored 100.0, " in capsys.readouterr().err
