"""Depth maps are what transformers estimates, up to the shift and factor that the model does not know."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image
from transformers import Dinov2Config, Dinov2Model, pipeline

from augment.conditioning.cells import from_cells
from augment.conditioning.depth import Depth, normalised
from augment.errors import UserError
from pipeline.scenes import render_scene
from tests.pipeline.small_models import save_small_depth


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_depth(tmp_path_factory.mktemp("depth"))


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.stack([render_scene(seed, 64, 128).image for seed in range(3)])


def test_depth_is_that_of_the_pipeline_of_transformers(model: Path, images: NDArray[np.uint8]) -> None:
    depth = Depth(str(model))
    direct = pipeline("depth-estimation", model=str(model), device="cpu")
    maps = depth.maps(images)
    assert maps.dtype == np.float16 and maps.shape == (3, 16, 8, 16)
    for image, found in zip(images, maps, strict=True):
        estimate = direct(Image.fromarray(image))["predicted_depth"].float().numpy()
        assert estimate.std() > 0
        [expected] = normalised(estimate[None])
        pooled = expected.reshape(32, 2, 64, 2).mean(axis=(1, 3))
        np.testing.assert_allclose(from_cells(found.astype(np.float32)), pooled, atol=5e-3)


def test_a_map_does_not_depend_on_the_rest_of_its_batch(model: Path, images: NDArray[np.uint8]) -> None:
    depth = Depth(str(model))
    alone = np.concatenate([depth.maps(images[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(alone.astype(np.float32), depth.maps(images).astype(np.float32), atol=5e-3)


@given(
    arrays.arrays(np.float32, (1, 8, 8), elements=st.floats(-10, 10, width=16)),
    st.floats(0.1, 10),
    st.floats(-100, 100),
)
def test_shift_and_factor_of_a_map_do_not_matter(depth: NDArray[np.float32], factor: float, shift: float) -> None:
    found = normalised(depth)
    assert np.isfinite(found).all()
    if np.ptp(depth) < 0.1:
        return
    np.testing.assert_allclose(np.median(found), 0, atol=1e-5)
    np.testing.assert_allclose(np.abs(found).mean(), 1, rtol=1e-4)
    moved = normalised((depth * np.float32(factor) + np.float32(shift)).astype(np.float32))
    np.testing.assert_allclose(moved, found, rtol=0.02, atol=0.02)


def test_depth_that_is_the_same_everywhere_is_zero() -> None:
    assert not normalised(np.full((2, 8, 8), 3, np.float32)).any()


@pytest.mark.parametrize("value", [0.3, 5.1, 123.456])
def test_rounding_of_a_resized_constant_depth_is_not_taken_for_depth(value: float) -> None:
    small = torch.full((1, 1, 37, 37), value)
    resized = torch.nn.functional.interpolate(small, size=(96, 128), mode="bicubic", align_corners=False)
    assert np.ptp(resized.numpy()) > 0
    assert not normalised(resized[0].numpy()).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_depth_that_is_not_finite_stays_so(value: float) -> None:
    depth = np.ones((2, 8, 8), np.float32)
    depth[0, 3, 4] = value
    found = normalised(depth)
    assert np.isnan(found[0, 3, 4]) and not found[1].any()


def test_a_size_that_is_not_a_multiple_of_8_is_refused(model: Path) -> None:
    with pytest.raises(UserError, match="image size 20x16 is not a multiple of 8"):
        Depth(str(model)).maps(np.zeros((1, 16, 20, 3), np.uint8))


def test_a_model_that_does_not_load_is_named(model: Path, tmp_path: Path) -> None:
    shutil.copy(model / "preprocessor_config.json", tmp_path)
    with torch.random.fork_rng():
        Dinov2Model(Dinov2Config(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"^depth\.model=.*transformers cannot load it .*: give a hub id or a folder"):
        Depth(str(tmp_path))
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"^depth\.model=.*give a hub id or a folder"):
        Depth(str(tmp_path))
