"""The converted DINOv2 computes what the ONNX graph it came from computes, on exactly the latent grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from augment.backbones import OFFLINE_DINOV2, load_backbone
from augment.backbones.dinov2_onnx import cached_checkpoint, onnx_path
from augment.backbones.patch_grid import to_patch_grid
from augment.backbones.transformer import TransformerBackbone, clip_outliers
from augment.errors import UserError
from pipeline.scenes import render_scene

FEATURES = "/backbone/layernorm/Add_1_output_0"


@pytest.fixture(scope="module")
def backbone() -> TransformerBackbone:
    loaded = load_backbone(OFFLINE_DINOV2)
    assert isinstance(loaded, TransformerBackbone)
    return loaded


def test_converted_weights_load_without_a_missing_or_unexpected_key() -> None:
    from transformers import Dinov2Model

    _, report = Dinov2Model.from_pretrained(cached_checkpoint(), output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]


def test_converted_model_agrees_with_the_graph_it_came_from() -> None:
    import onnx
    import onnxruntime
    from transformers import Dinov2Model

    graph = onnx.load(str(onnx_path()))
    graph.graph.output.append(onnx.helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    pixels = np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32)
    (expected,) = session.run([FEATURES], {"input_image": pixels})
    model = Dinov2Model.from_pretrained(cached_checkpoint()).eval()
    with torch.inference_mode():
        features = model(pixel_values=torch.from_numpy(pixels)).last_hidden_state.numpy()
    np.testing.assert_allclose(features, expected, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (96, 64)])
def test_features_are_on_the_latent_grid(backbone: TransformerBackbone, height: int, width: int) -> None:
    images = np.zeros((1, height, width, 3), np.uint8)
    assert backbone.features(images).shape == (1, 384, height // 8, width // 8)
    assert backbone.features(images, stride=16).shape == (1, 384, height // 16, width // 16)


def test_features_of_a_mirrored_street_are_the_mirrored_features(backbone: TransformerBackbone) -> None:
    """A grid that was transposed or shifted on the way would fit its mirror image no better than itself."""
    image = render_scene(seed=3, height=96, width=192).image
    features = backbone.features(np.stack([image, image[:, ::-1]]))
    mirrored = torch.cosine_similarity(features[0], features[1].flip(-1), dim=0).mean()
    unmirrored = torch.cosine_similarity(features[0], features[1], dim=0).mean()
    assert mirrored > unmirrored + 0.1


def test_size_that_does_not_divide_is_refused_and_not_cropped(backbone: TransformerBackbone) -> None:
    with pytest.raises(UserError, match="100x64 is not a multiple of 8"):
        backbone.features(np.zeros((1, 64, 100, 3), np.uint8))


def test_patch_grid_is_the_image_scaled_by_patch_over_stride() -> None:
    images = np.full((1, 16, 24, 3), 255, np.uint8)
    grid = to_patch_grid(images, 14, 8, (0.5,) * 3, (0.5,) * 3)
    assert grid.shape == (1, 3, 28, 42)
    torch.testing.assert_close(grid, torch.ones_like(grid))


def test_outlier_tokens_are_scaled_back_and_others_left_alone() -> None:
    tokens = torch.randn(1, 50, 8, generator=torch.Generator().manual_seed(0))
    tokens[0, 7] *= 100
    clipped = clip_outliers(tokens)
    assert clipped[0, 7].norm() < tokens[0, 7].norm() / 10
    torch.testing.assert_close(clipped[0, :7], tokens[0, :7])


def test_unknown_backbone_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"^backbone '/nowhere'.*give a hub id or a folder[^\n]*$"):
        load_backbone("/nowhere")
