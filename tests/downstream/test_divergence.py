"""A training that diverges ends in one line, and no number comes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augment.errors import UserError
from downstream.divergence import Diverged, require_finite_weights
from downstream.judge import Judge
from downstream.mixes import Mix
from downstream.mmseg_import import import_mmseg
from downstream.options import SegmenterTraining
from downstream.results import read_result
from downstream.runner import ClassIoU
from downstream.segmenters import build_segmenter, segmenter_config
from downstream.training import train
from pipeline.store import Manifest, Sample, Store
from pipeline.taxonomies import CAMVID
from tests.downstream.conftest import scene

import_mmseg()
from mmseg.models.losses import CrossEntropyLoss  # noqa: E402 - importable only after the line above
from mmseg.registry import MODELS  # noqa: E402

REAL = Mix("real", 1, 0)
OPTIONS = SegmenterTraining(iterations=8, batch_size=2, learning_rate=1e-3, decoder_channels=8, checkpoint_interval=2)


@MODELS.register_module()
class FragileLoss(CrossEntropyLoss):
    """Cross-entropy that breaks at one of its calls: in its value, or only in its gradient."""

    calls = 0
    at: int | None = None
    breaks = ""

    def forward(self, cls_score: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The loss, broken where it is its turn."""
        FragileLoss.calls += 1
        loss = super().forward(cls_score, *args, **kwargs)
        if FragileLoss.calls != FragileLoss.at:
            return loss
        # The square root is 0 at 0, and its slope infinite.
        return (
            loss * float(FragileLoss.breaks) if FragileLoss.breaks != "slope" else loss + (cls_score * 0).sum().sqrt()
        )


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[SegmenterTraining]:
    """Options with a segmenter from a config file that uses that loss."""
    config = segmenter_config("segformer_mit-b0", 11, (32, 48))
    config["decode_head"]["loss_decode"]["type"] = "FragileLoss"
    path = tmp_path / "fragile.py"
    path.write_text(f"model = {config!r}\n")
    FragileLoss.calls = 0
    yield OPTIONS.model_copy(update={"model": str(path)})
    FragileLoss.at = None


@pytest.mark.parametrize(
    ("breaks", "said"),
    [("nan", "the loss is nan"), ("inf", "the loss is inf"), ("slope", "the norm of the gradients is nan")],
)
def test_it_stops_with_step_and_remedy_and_goes_on_from_what_was_saved(
    fragile: SegmenterTraining, real_store: str, tmp_path: Path, breaks: str, said: str
) -> None:
    run_dir = tmp_path / "run"
    FragileLoss.at, FragileLoss.breaks = 6, breaks
    with pytest.raises(UserError) as error:
        train(REAL, real_store, None, fragile, 0, run_dir)
    message = str(error.value)
    assert f"{said} at step 6 of 8" in message
    assert "lower downstream.learning_rate than 0.001" in message and "--redo judge" in message
    assert "\n" not in message
    assert read_result(run_dir) is None
    assert not (run_dir / "segmenter.safetensors").exists()

    steps: list[int] = []
    result = train(REAL, real_store, None, fragile, 0, run_dir, lambda step: steps.append(step.step))
    assert steps[0] == 5
    undisturbed = train(REAL, real_store, None, fragile, 0, tmp_path / "undisturbed")
    assert replace(result, seconds=0) == replace(undisturbed, seconds=0)
    assert (run_dir / "segmenter.safetensors").read_bytes() == (
        tmp_path / "undisturbed" / "segmenter.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    ("iterations", "said"), [(2, "the loss is nan at step 2 of 2"), (1, "scores of an image are not finite at step 1")]
)
def test_weights_out_of_range_are_not_measured(real_store: str, run_dir: Path, iterations: int, said: str) -> None:
    options = OPTIONS.model_copy(update={"iterations": iterations, "learning_rate": 1e37, "warmup": 0})
    with pytest.raises(UserError, match=said):
        train(REAL, real_store, None, options, 0, run_dir)
    assert read_result(run_dir) is None


def test_weights_that_are_not_finite_are_not_saved() -> None:
    require_finite_weights({"a": torch.zeros(2), "count": torch.tensor(1)})
    with pytest.raises(Diverged, match="weights b"):
        require_finite_weights({"a": torch.zeros(2), "b": torch.tensor([0, float("inf")])})


def test_result_of_a_diverged_training_of_old_is_not_taken(real_store: str, run_dir: Path) -> None:
    train(REAL, real_store, None, OPTIONS.model_copy(update={"iterations": 1}), 0, run_dir)
    content = json.loads((run_dir / "result.json").read_text())
    content["losses"][0][1] = float("nan")
    (run_dir / "result.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="loss was not finite"):
        train(REAL, real_store, None, OPTIONS.model_copy(update={"iterations": 1}), 0, run_dir)


def test_scores_that_are_not_finite_are_no_prediction() -> None:
    model = build_segmenter(segmenter_config("segformer_mit-b0", 11, (32, 48), 8))
    with torch.no_grad():
        model.decode_head.conv_seg.bias[3] = float("nan")
    judge = Judge(model, CAMVID.classes)
    image, label = scene(0)
    for judged in (lambda: judge.predict(image[None]), lambda: judge.loss(image[None], label[None])):
        with pytest.raises(UserError, match=r"the judge has diverged.*--redo judge"):
            judged()
    sample = {"seg_logits": {"data": torch.tensor([[[0.0, float("inf")]]])}}
    with pytest.raises(Diverged):
        ClassIoU().process({}, [sample])


@pytest.mark.parametrize(
    ("split", "ids", "said"),
    [
        ("train", (255,), "split 'train' show no labelled pixel, so there is nothing to learn"),
        ("train", (255, 3), "split 'train' show the class 'road' alone, so there is nothing to learn"),
        ("val", (255,), "no pixel of split 'val' is labelled"),
    ],
)
def test_labels_that_teach_or_measure_nothing_are_refused(
    tmp_path: Path, split: str, ids: tuple[int, ...], said: str
) -> None:
    store = Store.create(str(tmp_path / "s"), Manifest("real", CAMVID.name, {"height": 32, "width": 48}))
    for name in ("train", "val"):
        image, label = scene(0)
        if name == split:
            label = np.resize(np.array(ids, np.uint8), label.shape)
        store.write_shard(f"{name}-000000", [Sample(name, image, label, metadata={"split": name})])
    with pytest.raises(UserError, match=said):
        train(REAL, store.url, None, OPTIONS.model_copy(update={"iterations": 1}), 0, tmp_path / "run")


def test_a_store_without_samples_is_said_to_be_that_and_why(real_store: str, tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "s"), Manifest("curated", CAMVID.name, {"height": 32, "width": 48}))
    with store.writer("train-k01-v00-000000") as writer:
        writer.commit([], ["unreliable: 0.33 of its pixels are believed"] * 4, 0.0, "")
    with pytest.raises(UserError, match="holds no samples to train or measure on: 4 x unreliable"):
        train(Mix("synthetic", 0, 1), real_store, store.url, OPTIONS, 0, tmp_path / "run")
