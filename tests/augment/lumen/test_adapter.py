"""One adapter for every k: components past k do not count, k itself does, and nothing is added at first."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import UserError
from augment.loading import quiet
from augment.lumen import zoo
from augment.lumen.adapter import LayoutControlNet
from augment.lumen.bases.text import Text
from augment.lumen.layout_encoder import layout_planes
from augment.lumen.pretrain.diffusion import new_unet

K = 4


@pytest.fixture
def adapter() -> LayoutControlNet:
    torch.manual_seed(0)
    return LayoutControlNet.from_base(new_unet((16, 16, 16), 4, 32), K, 8).eval()


def heard(adapter: LayoutControlNet) -> LayoutControlNet:
    """The adapter with no weight at zero."""
    for parameter in adapter.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return adapter


def residuals(adapter: LayoutControlNet, layout: torch.Tensor, k: int) -> torch.Tensor:
    torch.manual_seed(1)
    sample, text = torch.randn(1, 4, 8, 8), Text(torch.randn(1, 5, 32))
    with torch.no_grad():
        *_, middle = adapter(sample, torch.tensor([500]), text, layout, torch.tensor([k]))
    return middle


def test_an_untrained_adapter_adds_nothing(adapter: LayoutControlNet) -> None:
    assert not residuals(adapter, torch.randn(1, K, 8, 8), K).any()


def test_components_past_k_do_not_count_and_those_before_do(adapter: LayoutControlNet) -> None:
    layout = torch.randn(1, K, 8, 8)
    past, before = layout.clone(), layout.clone()
    past[:, 2:] += 1
    before[:, 1] += 1
    expected = residuals(heard(adapter), layout, 2)
    torch.testing.assert_close(residuals(adapter, past, 2), expected)
    assert not torch.allclose(residuals(adapter, before, 2), expected, atol=1e-3)


def test_k_differs_from_components_that_are_zero(adapter: LayoutControlNet) -> None:
    silent = torch.zeros(1, K, 8, 8)
    heard(adapter)
    assert not torch.allclose(residuals(adapter, silent, 1), residuals(adapter, silent, K), atol=1e-3)


def test_planes_keep_each_samples_own_k() -> None:
    planes = layout_planes(torch.ones(3, K, 2, 2), torch.tensor([0, 1, K]))
    assert planes[:, :K].sum(dim=(1, 2, 3)).tolist() == [0, 4, 4 * K]
    assert planes[:, K, 0, 0].tolist() == [0, 0.25, 1]


@given(st.lists(st.integers(0, K), min_size=1, max_size=3), st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_k_that_all_cells_share_gives_the_same_bits_as_that_k(ks: list[int], dtype: torch.dtype) -> None:
    layout = torch.randn(len(ks), K, 3, 5).to(dtype)
    of_images = torch.tensor(ks)
    of_cells = of_images[:, None, None].expand(-1, 3, 5)
    assert torch.equal(layout_planes(layout, of_images), layout_planes(layout, of_cells))


def test_each_cell_keeps_the_components_of_its_own_k() -> None:
    layout, k = torch.randn(2, K, 3, 5), torch.randint(0, K + 1, (2, 3, 5))
    planes = layout_planes(layout, k)
    for image, row, column in np.ndindex(2, 3, 5):
        alone = layout_planes(layout[image : image + 1], k[image, row, column][None])
        assert torch.equal(planes[image, :, row, column], alone[0, :, row, column])


def test_layout_at_half_the_latent_grid_is_accepted_and_another_refused(adapter: LayoutControlNet) -> None:
    assert residuals(adapter, torch.zeros(1, K, 4, 4), K).shape == residuals(adapter, torch.zeros(1, K, 8, 8), K).shape
    with pytest.raises(UserError, match="a layout of 5x8 cells does not fit latents of 8x8"):
        residuals(adapter, torch.zeros(1, K, 8, 5), K)


def test_saved_adapter_computes_the_same(adapter: LayoutControlNet, tmp_path: Path) -> None:
    layout = torch.randn(1, K, 8, 8)
    expected = residuals(heard(adapter), layout, 3)
    adapter.save_pretrained(tmp_path)
    loaded = LayoutControlNet.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(residuals(loaded, layout, 3), expected)


@pytest.mark.parametrize("model", [ControlNetModel, UNet2DConditionModel])
def test_other_classes_refuse_an_adapter_and_say_what_loads_it(
    adapter: LayoutControlNet, tmp_path: Path, model: type[ControlNetModel]
) -> None:
    adapter.save_pretrained(tmp_path / "new")
    for folder in (tmp_path / "new", zoo.ZOO / "lumen-tiny" / "adapter"):
        with quiet(), pytest.raises(ValueError, match=r"augment\.lumen\.adapter\.LayoutControlNet\.from_pretrained"):
            model.from_pretrained(folder)


def test_adapter_that_was_saved_without_the_guard_is_read(adapter: LayoutControlNet, tmp_path: Path) -> None:
    layout = torch.randn(1, K, 8, 8)
    expected = residuals(heard(adapter), layout, 3)
    adapter.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["down_block_types"]
    path.write_text(json.dumps(config))
    torch.testing.assert_close(residuals(LayoutControlNet.from_pretrained(tmp_path).eval(), layout, 3), expected)
