"""NaN and infinite values become no image: they are quarantined by kind, many end the run, and verify finds them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.cli import guarded
from pipeline.config import Config
from pipeline.engine import RunFailed
from pipeline.stages.reading import PairedSource, StoreSource
from pipeline.store import CorruptStore, SampleReader, Store
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection

Configure = Callable[..., Config]
LAST = {"unet": "conv_out.bias", "vae": "decoder.conv_out.bias"}


def damaged(base: Path, folder: Path, part: str, value: float) -> Path:
    """A copy of a base model with a value in the last layer of a part."""
    shutil.copytree(base, folder)
    path = folder / part / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights[LAST[part]] = torch.full_like(weights[LAST[part]], value)
    save_file(weights, path, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(("part", "value"), [("unet", float("nan")), ("vae", float("nan")), ("vae", float("inf"))])
def test_model_that_gives_no_numbers_paints_nothing(
    copied: Path, configure: Configure, small_base: Path, tmp_path: Path, part: str, value: float
) -> None:
    base = damaged(small_base, tmp_path / "damaged", part, value)
    config = configure(copied, f"generator.base={base}", "cluster.stages.generate.batch_size=2", "generate.ks=[4]")
    with pytest.raises(RunFailed, match=r"generate: .* x not finite"):
        run(config, Selection(until="generate", redo="generate"), print)
    store = Store.open(str(copied / "synthetic"))
    assert len(SampleReader(store)) == 0
    assert all(reason.startswith("not finite: the ") for reason in store.quarantine()["reason"].to_pylist())


def with_bad_layouts(space: Path, value: float) -> str:
    """Put a value into one layout of the store, everything else of the store being right; the key of it."""
    store = Store.open(str(space / "layouts"))
    samples = [SampleReader(store).read(key) for key in dict(store.shard_keys())["train-000000"]]
    layout = samples[0].layout
    assert layout is not None
    bad = layout.copy()
    bad[1, 0, 0] = value
    receipt = store.receipt("train-000000")
    assert receipt is not None
    store.discard("train-000000")
    store.write_shard("train-000000", [replace(samples[0], layout=bad), *samples[1:]], unit=receipt.unit)
    return samples[0].key


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_layout_that_is_not_finite_is_found_and_quarantined(
    copied: Path, configure: Configure, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    key = with_bad_layouts(copied, value)
    assert guarded(["verify", str(copied / "layouts")]) == 1
    line = f"shards/train-000000.tar: {key}: its layout holds NaN or infinite values"
    assert line in capsys.readouterr().out.splitlines()

    run(configure(copied, "generate.ks=[4]"), Selection(until="generate", redo="generate"), print)
    synthetic = Store.open(str(copied / "synthetic"))
    assert {row["key"] for row in synthetic.quarantine().to_pylist()} == {key}
    assert synthetic.totals().failure_reasons == {"not finite": 2}
    assert len(SampleReader(synthetic)) == 2 * (7 - 1)

    source = PairedSource(StoreSource(str(copied / "real"), ("image",)), StoreSource(synthetic.url, ()))
    source.second = StoreSource(str(copied / "layouts"), ("layout",))
    with pytest.raises(CorruptStore, match=f"{key}: its layout holds NaN or infinite values"):
        source.get(key)


def test_image_of_one_colour_is_not_written(
    copied: Path, configure: Configure, small_base: Path, tmp_path: Path
) -> None:
    base = damaged(small_base, tmp_path / "damaged", "vae", 1e6)
    with pytest.raises(RunFailed, match=r"generate: .* x constant image"):
        config = configure(copied, f"generator.base={base}", "generate.ks=[4]")
        run(config, Selection(until="generate", redo="generate"), print)
