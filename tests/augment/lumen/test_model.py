"""Lumen: an image to its layout, and a layout to new images, in one object."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from augment.errors import UserError
from augment.layouts.basis import LayoutBasis
from augment.lumen import zoo
from augment.lumen.model import Lumen
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from pipeline.scenes import render_scene

ADAPTER = zoo.ZOO / "lumen-tiny" / "adapter"


@pytest.fixture(scope="module")
def lumen() -> Lumen:
    return Lumen.load(options=SamplerOptions(num_steps=2, precision="fp32"))


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    return render_scene(0, 64, 128).image


def test_a_layout_is_the_projection_of_the_features(lumen: Lumen, image: NDArray[np.uint8]) -> None:
    layout = lumen.layout(image)
    features = lumen.backbone.features(image[None], stride=8)
    expected = LayoutBasis.load(ADAPTER / "basis").project(features)[0].numpy()
    assert layout.dtype == np.float16 and layout.shape == (20, 8, 16)
    np.testing.assert_allclose(layout, expected, rtol=1e-3, atol=1e-3)


def test_painting_follows_layout_seed_and_k(lumen: Lumen, image: NDArray[np.uint8]) -> None:
    layout = lumen.layout(image)
    painted = lumen.paint(layout, k=5, prompt="a rendered street, day", seed=1)
    [expected] = lumen.sampler.generate([Request(layout, 5, "a rendered street, day", 1)])
    assert painted.shape == image.shape and painted.dtype == np.uint8
    assert np.array_equal(painted, expected)
    for other in ({"k": 1}, {"seed": 2}, {"prompt": "a photo of a street, night"}):
        arguments = {"k": 5, "prompt": "a rendered street, day", "seed": 1, **other}
        assert not np.array_equal(painted, lumen.paint(layout, **arguments)), other  # type: ignore[arg-type]


def test_more_components_are_refused(lumen: Lumen, image: NDArray[np.uint8]) -> None:
    with pytest.raises(UserError, match=r"k = 21: .* 0\.\.20 components"):
        lumen.paint(lumen.layout(image), k=21)


def test_a_basis_of_other_weights_is_refused(tmp_path: Path) -> None:
    shutil.copytree(ADAPTER, tmp_path / "adapter")
    replace(LayoutBasis.load(ADAPTER / "basis"), revision="0" * 64).save(tmp_path / "adapter" / "basis")
    with pytest.raises(UserError, match=r"revision 00000000.*give the backbone that it was trained with"):
        Lumen.load(adapter=tmp_path / "adapter")


def test_a_base_of_ones_own_needs_an_adapter() -> None:
    with pytest.raises(UserError, match="comes without an adapter"):
        Lumen.load("/models/stable-diffusion-v1-5")
