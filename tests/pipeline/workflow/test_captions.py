"""A run with captions whose faults were fixed and retried comes out as one that had none."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from augment.captioning import Captioner
from augment.lumen.training import adapter_training
from pipeline.cli import guarded
from pipeline.config import Config
from pipeline.stages.step import StageName
from pipeline.store import Store
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection
from pipeline.workflow.verify import verify
from pipeline.workspace.artifact import read_record
from tests.pipeline.small_models import save_small_captioner

Configure = Callable[..., Config]
Configured = Callable[[Path], Config]
STORES = ("real", "layouts", "captions", "synthetic", "curated")
FEW = (
    "dataset.render.train=4",
    "generate.ks=[4]",
    "generate.variants=1",
    "adapt.steps=1",
    "adapt.batch_size=2",
    "judge.iterations=1",
    "downstream.batch_size=2",
)


@pytest.fixture(scope="module")
def captioned(configure: Configure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configured]:
    """The configuration of such a run in the workspace given; its trainings of the adapter paint no samples."""
    model = save_small_captioner(tmp_path_factory.mktemp("captioner"))
    with pytest.MonkeyPatch.context() as patch:
        # Most of what a training of one step takes, and nothing that these tests look at.
        patch.setattr(adapter_training, "write_samples", lambda *_: None)
        yield lambda space: configure(
            space, *FEW, f"captions={{model: {model}, max_new_tokens: 6, prompt: a photo of}}"
        )


@pytest.fixture(scope="module")
def whole(captioned: Configured, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which nothing failed, up to the curated store."""
    space = tmp_path_factory.mktemp("captioned") / "space"
    run(captioned(space), Selection(until="curate"), print)
    return space


def contents(space: Path) -> dict[str, object]:
    """The digest of every shard of the stores that are there, and that of the adapter."""
    stores = {name: Store.open(str(space / name)).receipts() for name in STORES if (space / name).exists()}
    digests = {name: {receipt.shard: receipt.sha256 for receipt in receipts} for name, receipts in stores.items()}
    adapter = read_record(space / "adapter")
    assert adapter is not None
    return {**digests, "adapter": adapter.digest}


def run_with_a_damaged_image(config: Config) -> Callable[[], object]:
    image = sorted((config.workspace / "scenes" / "leftImg8bit" / "train").glob("*/*.png"))[0]
    data = image.read_bytes()
    image.write_bytes(data[:200])
    Store.open(str(config.workspace / "real")).discard("train-000000")
    run(config, Selection(until="curate", redo="fit"), print)
    return lambda: image.write_bytes(data)


def run_with_a_mute_model(config: Config) -> Callable[[], object]:
    def all_but_the_first(self: Captioner, images: np.ndarray) -> list[str]:
        return ["", *describe(self, images)[1:]]

    describe, patch = Captioner.describe, pytest.MonkeyPatch()
    patch.setattr(Captioner, "describe", all_but_the_first)
    run(config, Selection(until="generate", redo="caption"), print)
    return patch.undo


@pytest.mark.parametrize(
    ("stage", "until", "break_down"),
    [("shard", "curate", run_with_a_damaged_image), ("caption", "generate", run_with_a_mute_model)],
)
def test_what_was_fixed_and_retried_comes_out_as_if_nothing_had_failed(
    whole: Path,
    captioned: Configured,
    tmp_path: Path,
    stage: StageName,
    until: StageName,
    break_down: Callable[[Config], Callable[[], object]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = captioned(Path(shutil.copytree(whole, tmp_path / "space")))
    mend = break_down(config)
    expected = {name: digests for name, digests in contents(whole).items() if (config.workspace / name).exists()}
    assert contents(config.workspace) != expected
    mend()
    capsys.readouterr()
    assert guarded(["retry", str(config.workspace), stage]) == 0
    found = re.search(r"to make that again, lumen run .* --redo (\w+)", capsys.readouterr().out)
    assert found is not None
    run(config, Selection(until=until, redo=found[1]), print)  # type: ignore[arg-type]
    assert contents(config.workspace) == expected
    assert verify(str(config.workspace)).faults == []
