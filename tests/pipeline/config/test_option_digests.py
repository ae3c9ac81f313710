"""The options that go into fingerprints, literally: a change here makes every workspace out of date."""

from __future__ import annotations

from pathlib import Path

from augment.conditioning.options import CannyOptions, SoftEdgeOptions
from augment.filtering import CurateOptions
from augment.lumen.options import AdaptOptions
from downstream.options import DownstreamOptions
from pipeline.store import file_digest
from pipeline.workflow.pretrain import PretrainConfig, request_of


def test_adapt() -> None:
    expected = {
        "steps": 30,
        "batch_size": 8,
        "learning_rate": 1e-4,
        "warmup_steps": 100,
        "ema_decay": 0.999,
    }
    assert AdaptOptions(steps=30).semantic == expected
    assert AdaptOptions(steps=30, view_share=0.5).semantic == {**expected, "view_share": 0.5}
    assert AdaptOptions(steps=30, k_regions=0.5).semantic == {**expected, "k_regions": 0.5}


def test_conditionings() -> None:
    assert CannyOptions().model_dump() == {"low": 100, "high": 200}
    assert SoftEdgeOptions().model_dump() == {"sigma": 1.5}


def test_curate() -> None:
    earlier = {"quantile": 0.95, "tolerance": 1.25, "min_reliable": 0.5}
    assert CurateOptions(quantile=0.95, tolerance=1.25, better_than=0).semantic == earlier
    assert CurateOptions().semantic == {"quantile": 0.9, "tolerance": 1.0, "min_reliable": 0.5, "better_than": 0.75}


def test_judge_and_compare() -> None:
    expected = {
        "model": "segformer_mit-b0",
        "decoder_channels": None,
        "pretrained": None,
        "iterations": 200,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "weight_decay": 0.01,
        "warmup": 0.05,
        "power": 1.0,
        "crop": None,
        "scale_range": [0.75, 1.5],
        "flip": 0.5,
        "photometric": True,
    }
    options = DownstreamOptions(iterations=3, num_workers=2, checkpoint_minutes=1, mixes=("real",), seeds=(5,))
    assert options.training(200).semantic == expected


def test_files_of_a_segmenter_are_named_by_their_content(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    options = DownstreamOptions(pretrained=weights)
    assert options.training(1).semantic["pretrained"] == str(weights)
    weights.write_bytes(b"weights")
    assert options.training(1).semantic["pretrained"] == file_digest(weights)


def test_pretrain() -> None:
    source = {
        "dataset": {"kind": "rendered", "splits": ["train"], "render": {"train": 6}},
        "geometry": {"height": 48, "width": 96},
    }
    config = PretrainConfig.model_validate(
        {
            "name": "small",
            "workspace": "/work",
            "destination": "/model",
            "backbone": {"name": "dinov2-vits14"},
            "sources": {"streets": source},
            "decoder": {"steps": 2},
            "diffusion": {"steps": 3},
        }
    )
    request = request_of(config)
    training = {
        "batch_size": 16,
        "learning_rate": 4e-4,
        "warmup_steps": 100,
        "cooldown": 0.25,
        "ema_decay": 0.999,
        "precision": "bf16",
    }
    assert request.pop("sources")["streets"].keys() == {
        "dataset",
        "geometry",
        "crops_per_image",
        "smallest",
        "weight",
    }
    with_views = config.model_copy(
        update={"diffusion": config.diffusion.model_copy(update={"views": 2, "view_share": 0.5})}
    )
    assert request_of(with_views)["diffusion"] == {**training, "views": 2, "view_share": 0.5}
    assert request == {
        "seed": 0,
        "backbone": {"name": "dinov2-vits14"},
        "model": {
            "num_components": 20,
            "latent_channels": 8,
            "unet_channels": [96, 128, 192],
            "text_width": 128,
            "text_layers": 3,
            "text_length": 16,
            "adapter_hidden_channels": 96,
        },
        "basis": {
            "basis_kind": "invariant",
            "standardize": True,
            "copies": 4,
            "epsilon": 0.3,
            "without_position": False,
        },
        "decoder": {"steps": 2, **training},
        "diffusion": training,
    }
