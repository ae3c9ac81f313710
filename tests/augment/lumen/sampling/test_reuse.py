"""Reuse across steps: which parts run at which steps, and that nothing is left behind on the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from augment.errors import UserError
from augment.lumen.adapter import LayoutControlNet
from augment.lumen.bases.base import DiffusionModel
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from augment.lumen.sampling.reuse import deep_blocks
from tests.pipeline.small_models import save_small_base

K, STEPS = 4, 6
Models = tuple[DiffusionModel, LayoutControlNet]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder: Path = save_small_base(tmp_path_factory.mktemp("base"), K)
    return load_diffusion_model(str(folder)), LayoutControlNet.from_pretrained(folder / "adapter")


@pytest.fixture
def runs(models: Models, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often each part of the model has run."""
    base, adapter = models
    network = base.network
    parts = {
        "adapter": adapter.controlnet.conv_in,
        "first": network.down_blocks[0].resnets[0],
        "middle": network.mid_block.resnets[0],
        "last": network.up_blocks[-1].resnets[0],
    }
    counts = dict.fromkeys(parts, 0)

    def counted(name: str, part: torch.nn.Module) -> Callable[..., torch.Tensor]:
        forward = part.forward

        def run(*inputs: torch.Tensor) -> torch.Tensor:
            counts[name] += 1
            return forward(*inputs)

        return run

    for name, part in parts.items():
        monkeypatch.setattr(part, "forward", counted(name, part))
    return counts


def painted(models: Models, seeds: tuple[int, ...] = (0,), **options: object) -> list[np.ndarray]:
    layout = np.random.default_rng(0).normal(size=(K, 8, 12)).astype(np.float16)
    sampling = SamplerOptions.model_validate({"num_steps": STEPS, "precision": "fp32", **options})
    requests = [Request(layout, K, "a photo of a street, day", seed) for seed in seeds]
    return LayoutSampler(*models, sampling).generate(requests)


def test_parts_run_at_one_in_so_many_steps(models: Models, runs: dict[str, int]) -> None:
    painted(models, reuse_adapter=2, reuse_blocks=3, guidance_interval=(0, 1))
    assert runs == {"adapter": 3, "first": STEPS, "middle": 2, "last": STEPS}


def test_all_runs_again_where_guidance_begins_and_ends(models: Models, runs: dict[str, int]) -> None:
    painted(models, reuse_adapter=9, reuse_blocks=9, guidance_interval=(0.3, 0.7))
    assert runs == {"adapter": 3, "first": STEPS, "middle": 3, "last": STEPS}


def test_what_is_reused_at_no_step_gives_the_same_bytes(models: Models) -> None:
    (expected,) = painted(models, num_steps=1)
    (found,) = painted(models, num_steps=1, reuse_adapter=5, reuse_blocks=5)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "options", [{}, {"tile": 64, "tile_overlap": 32}, {"control_free_branch": True}, {"guidance_scale": 1.0}]
)
def test_reuse_is_near_and_depends_on_no_batch_mates(models: Models, options: dict[str, object]) -> None:
    reuse = {"reuse_adapter": 2, "reuse_blocks": 2, **options}
    exact, together, alone = (
        painted(models, (0, 1), **options),
        painted(models, (0, 1), **reuse),
        painted(models, **reuse),
    )
    assert np.abs(together[0].astype(int) - alone[0]).max() <= 1
    assert 0 < np.abs(together[0].astype(int) - exact[0]).mean() < 8
    # The model is as it was.
    assert np.array_equal(painted(models, (0, 1), **options), exact)


def test_a_failure_leaves_the_model_as_it_was(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    base, _ = models
    expected = painted(models)
    calls = []

    def fails(*inputs: object) -> object:
        calls.append(inputs)
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(base.network.up_blocks[-1], "forward", lambda *_, **__: fails())
        with pytest.raises(RuntimeError, match="out of memory"):
            painted(models, reuse_blocks=2)
    assert len(calls) == 1
    assert np.array_equal(painted(models), expected)


def test_a_base_without_deep_blocks_is_refused(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    base, _ = models
    assert len(deep_blocks(base)) == 2 * len(base.network.down_blocks) - 1
    monkeypatch.setattr(base.network, "mid_block", None)
    with pytest.raises(UserError, match=r"no U-Net with deep blocks: set generator\.reuse_blocks=1"):
        painted(models, reuse_blocks=2)
