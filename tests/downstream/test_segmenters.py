"""Models by name and from config files, and weights from files that hold tensors only."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmseg import __path__ as mmseg_path
from safetensors.torch import save_file

from augment.errors import UserError
from downstream.judge import Judge
from downstream.segmenters import build_segmenter, load_pretrained, segmenter_config

CONFIGS = Path(mmseg_path[0], ".mim", "configs")


def norm_types(config: object) -> set[str]:
    if isinstance(config, dict):
        own = {config["type"]} if isinstance(config.get("type"), str) and config["type"].endswith("BN") else set()
        return own.union(*map(norm_types, config.values()))
    return set().union(*map(norm_types, config)) if isinstance(config, list) else set()


@pytest.mark.parametrize(
    "model",
    [
        "segformer_mit-b0",
        "pspnet_r18-d8_4xb2-80k_cityscapes-512x1024",
        str(CONFIGS / "segformer" / "segformer_mit-b0_8xb2-160k_ade20k-512x512.py"),
    ],
)
def test_any_config_of_mmsegmentation_predicts_our_classes_without_downloads(model: str) -> None:
    config = segmenter_config(model, 7, (32, 64))
    assert norm_types(config) == {"BN"}
    assert "https://" not in str(config)
    network = build_segmenter(config).eval()
    metas = [{"img_shape": (32, 64), "ori_shape": (32, 64)}]
    assert network.inference(torch.zeros(1, 3, 32, 64), metas).shape == (1, 7, 32, 64)


def test_our_segformer_is_that_of_mmsegmentation() -> None:
    ours = build_segmenter(segmenter_config("segformer_mit-b1", 150, (32, 32))).state_dict()
    theirs = build_segmenter(segmenter_config("segformer_mit-b1_8xb2-160k_ade20k-512x512", 150, (32, 32))).state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {
        name: tensor.shape for name, tensor in theirs.items()
    }


def test_mask2former_keeps_the_weight_of_no_object() -> None:
    pytest.importorskip("mmdet", reason="Mask2Former needs the extra mask2former")
    config = segmenter_config("mask2former_r50_8xb2-160k_ade20k-512x512", 5, (64, 64))
    assert config["decode_head"]["num_classes"] == 5
    assert config["decode_head"]["loss_cls"]["class_weight"] == [1.0] * 5 + [0.1]


def test_scores_of_a_head_that_classifies_masks_become_logits() -> None:
    class Mask2FormerHead(torch.nn.Module):
        pass

    class Model(torch.nn.Module):
        def __init__(self, head: torch.nn.Module) -> None:
            super().__init__()
            self.decode_head = head

        def inference(self, *_: object) -> torch.Tensor:
            return torch.tensor([0.2, 0.6, 0.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)

    image = np.zeros((1, 8, 8, 3), np.uint8)
    found = torch.softmax(Judge(Model(Mask2FormerHead()), "abc").logits(image), dim=1)[0, :, 0, 0]
    assert found.tolist() == pytest.approx([0.25, 0.75, 0.0], abs=1e-6)
    assert Judge(Model(torch.nn.Identity()), "abc").logits(image)[0, 1, 0, 0] == pytest.approx(0.6)


def test_unknown_models_are_refused() -> None:
    with pytest.raises(UserError, match="no model 'segformr'"):
        segmenter_config("segformr", 3, (32, 32))
    with pytest.raises(UserError, match=r"no mmsegmentation config at nowhere/x\.py"):
        segmenter_config("nowhere/x.py", 3, (32, 32))


@pytest.mark.parametrize("form", ["backbone.safetensors", "whole.safetensors", "whole.pth"])
def test_pretrained_weights_reach_the_backbone(tmp_path: Path, form: str) -> None:
    source = build_segmenter(segmenter_config("segformer_mit-b0", 5, (32, 32)))
    target = build_segmenter(segmenter_config("segformer_mit-b0", 9, (32, 32)))
    path = tmp_path / form
    weights = source.backbone.state_dict() if form.startswith("backbone") else source.state_dict()
    if form.endswith("pth"):
        torch.save({"state_dict": weights, "meta": {"epoch": 1}}, path)
    else:
        save_file(weights, path)
    missing = load_pretrained(target, path)
    assert not [name for name in missing if name.startswith("backbone.")]
    assert "decode_head.conv_seg.weight" in missing
    for name, tensor in source.backbone.state_dict().items():
        assert torch.equal(target.backbone.state_dict()[name], tensor)


class Harmful:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def test_files_that_are_no_weights_are_refused_and_not_executed(tmp_path: Path) -> None:
    target = build_segmenter(segmenter_config("segformer_mit-b0", 9, (32, 32)))
    trap = tmp_path / "trap"
    (tmp_path / "bad.pth").write_bytes(pickle.dumps({"state_dict": Harmful(str(trap))}))
    with pytest.raises(UserError, match="more than tensors"):
        load_pretrained(target, tmp_path / "bad.pth")
    assert not trap.exists()
    save_file({"fc.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="no weights for the backbone"):
        load_pretrained(target, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="no pretrained weights at"):
        load_pretrained(target, tmp_path / "absent.pth")
