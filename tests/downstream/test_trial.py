"""A step on random data refuses what a training would fail with, and says which settings would do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import downstream.trial
from augment.errors import UserError
from downstream.judge import Judge, save_segmenter
from downstream.options import SegmenterTraining
from downstream.segmenters import build_segmenter, segmenter_config
from downstream.trial import Trial

TRIAL = Trial(SegmenterTraining(batch_size=4, decoder_channels=8), (32, 64), 5, 255, "cpu")


def trial(model: str, batch_size: int = 4, crop: tuple[int, int] = (32, 64)) -> Trial:
    options = SegmenterTraining(model=model).model_copy(update={"batch_size": batch_size})
    return replace(TRIAL, options=options, crop=crop)


@pytest.mark.parametrize(
    "model",
    [
        "segformer_mit-b0",
        "fcn_hr18s_4xb2-160k_cityscapes-512x1024",
        "bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024",
        # Its config weighs the 19 classes of Cityscapes.
        "ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024",
        # It takes tuples where JSON has lists.
        "cgnet_fcn_4xb4-60k_cityscapes-680x680",
    ],
)
def test_models_that_can_be_trained_pass(model: str) -> None:
    before = torch.random.get_rng_state()
    trial(model).require()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_one_class_ignored_by_sixteen_bits_passes() -> None:
    replace(TRIAL, num_classes=300, ignore_index=65535).require()


@pytest.mark.parametrize(
    ("requested", "said"),
    [
        (trial("pspnet_r18-d8_4xb2-80k_cityscapes-512x1024", 1), "give a downstream.batch_size of 2 or more"),
        (trial("deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024", 1), "give a downstream.batch_size of 2 or more"),
        (trial("mask2former_r50_8xb2-160k_ade20k-512x512"), "needs the package mmdet, which is not installed"),
        (trial("maskformer_r50-d32_8xb2-160k_ade20k-512x512"), "needs the package mmdet, which is not installed"),
        (trial("fpn_poolformer_s12_8xb4-40k_ade20k-512x512"), "needs the package mmpretrain, which is not installed"),
        (
            trial("psanet_r50-d8_4xb2-40k_cityscapes-512x1024"),
            "operator 'psamask_forward' was called, but the installed",
        ),
        (trial("pidnet-s_2xb6-120k_1024x1024-cityscapes"), "has no attribute 'gt_edge_map': name another"),
        (trial("mobilenet-v3-d8-s_lraspp_4xb4-320k_cityscapes-512x1024"), "images are too small for it: give a larger"),
        (trial("segformer_mit-b0", 10**6), "GiB: give a smaller downstream.batch_size"),
        (trial("no-such-model"), "no model 'no-such-model'"),
    ],
    ids=lambda value: value.options.model.split("_")[0] if isinstance(value, Trial) else "",
)
def test_failing_settings_are_refused_in_one_line_with_the_remedy(requested: Trial, said: str) -> None:
    with pytest.raises(UserError) as error:
        requested.require()
    message = str(error.value)
    assert said.split("GiB: ")[-1] in message
    assert "\n" not in message
    if requested.options.model != "no-such-model":
        assert (
            f"downstream.model={requested.options.model} with downstream.batch_size={requested.options.batch_size}"
            in message
        )


def test_a_cpu_steps_on_images_of_a_limited_size(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, ...]] = []
    original = Trial.batch

    def batch(self: Trial) -> dict[str, list[Any]]:
        made = original(self)
        taken.extend(tuple(image.shape) for image in made["inputs"])
        return made

    monkeypatch.setattr(Trial, "batch", batch)
    monkeypatch.setattr(downstream.trial, "memory_here", lambda: 2**40)
    replace(TRIAL, crop=(8000, 32)).require()
    # 8000 and 512 have the same remainder by 64.
    assert taken == [(3, 512, 32)] * 2
    # The memory is that of the requested images, not of those.
    monkeypatch.setattr(downstream.trial, "memory_here", lambda: 2**28)
    replace(TRIAL, crop=(504, 32)).require()
    with pytest.raises(UserError, match=r"GiB, and this machine has 0 GiB: give a smaller downstream\.batch_size"):
        replace(TRIAL, crop=(504_000, 32)).require()


def test_a_training_elsewhere_is_not_held_against_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = replace(trial("segformer_mit-b0", 10**6), local=False)
    elsewhere.require()
    # A GPU here is not the one that it is trained on.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    replace(elsewhere, device="cuda").require()
    # What fails anywhere is found all the same.
    with pytest.raises(UserError, match=r"give a downstream\.batch_size of 2 or more"):
        replace(trial("pspnet_r18-d8_4xb2-80k_cityscapes-512x1024", 1), device="cuda", local=False).require()


def test_config_that_is_wrong_in_itself_is_refused(tmp_path: Path) -> None:
    for number, text in enumerate(("model = dict(", "other = dict()", "model = dict(type='NoSuchSegmentor')")):
        path = tmp_path / f"wrong{number}.py"
        path.write_text(text)
        with pytest.raises(UserError, match=f"downstream.model={path}.*a training step fails with"):
            trial(str(path)).require()


def test_weights_for_another_backbone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"backbone.conv": torch.zeros(3)}, path)
    with pytest.raises(UserError, match=r"downstream.pretrained: .*no weights for the backbone"):
        replace(TRIAL, options=TRIAL.options.model_copy(update={"pretrained": path})).require()


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    weights = build_segmenter(segmenter_config("segformer_mit-b0", 5, (32, 64), 8)).state_dict()
    path = tmp_path / "weights.pth"
    torch.save({name: tensor * float("nan") for name, tensor in weights.items()}, path)
    with pytest.raises(UserError, match="a training step fails with ValueError: the loss is nan"):
        replace(TRIAL, options=TRIAL.options.model_copy(update={"pretrained": path})).require()
    # A training does not look at the statistics that a prediction uses.
    weights["decode_head.fusion_conv.bn.running_mean"][:] = float("nan")
    torch.save(weights, path)
    with pytest.raises(UserError, match="the scores of an image are not finite"):
        replace(TRIAL, options=TRIAL.options.model_copy(update={"pretrained": path})).require()


def test_a_judge_is_rebuilt_with_the_tuples_of_its_config(tmp_path: Path) -> None:
    config = segmenter_config("cgnet_fcn_4xb4-60k_cityscapes-680x680", 3, (32, 64))
    assert isinstance(config["backbone"]["dilations"], tuple)
    save_segmenter(tmp_path, build_segmenter(config), config, ("a", "b", "c"))
    assert Judge.load(tmp_path).model.backbone.dilations == (2, 4)
