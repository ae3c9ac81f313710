"""Features of every family are those of its library's own call, on images whose grid it must interpolate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers

from augment.backbones import LayeredBackbone, load_backbone
from augment.backbones.families import CLIP, FAMILIES, HALF, IMAGENET, UNIT, Statistics, read_config
from augment.backbones.transformer import clip_outliers
from augment.errors import UserError
from tests.augment.backbones.small_models import DEPTH, GRID, MODELS, PATCH, SIZES, random_model, save_random_model

Direct = Callable[[Any, torch.Tensor], torch.Tensor]
# Neither square nor the grid of the models.
ROWS, COLUMNS = 3, 5
TRANSFORMERS = [name for name in MODELS if not name.startswith(("convnext", "sam"))]


def images_of(count: int = 2, seed: int = 0) -> np.ndarray:
    shape = (count, ROWS * PATCH, COLUMNS * PATCH, 3)
    return np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)


def pixels_of(images: np.ndarray, statistics: Statistics) -> torch.Tensor:
    mean, std = (np.array(values, np.float32) for values in statistics)
    return torch.from_numpy((images / np.float32(255) - mean) / std).permute(0, 3, 1, 2).float()


def tower(model: Any) -> Any:
    return getattr(model, "vision_model", model)


def asked(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return tower(model)(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state


def naflex(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches

    patches = [convert_image_to_patches(image.numpy(), PATCH) for image in pixels]
    stacked = torch.from_numpy(np.stack(patches))
    return tower(model)(
        pixel_values=stacked,
        pixel_attention_mask=torch.ones(stacked.shape[:2], dtype=torch.int32),
        spatial_shapes=torch.tensor([[ROWS, COLUMNS]] * len(pixels)),
    ).last_hidden_state


def unmasked(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    encoder = getattr(model, "vit", model)
    hidden = encoder.embeddings.patch_embeddings(pixels)
    grid = torch.cat([hidden[:, :1], hidden], dim=1)
    positions = encoder.embeddings.interpolate_pos_encoding(grid, ROWS * PATCH, COLUMNS * PATCH)
    first = (encoder.embeddings.cls_token + positions[:, :1]).expand(len(pixels), -1, -1)
    hidden = torch.cat([first, hidden + positions[:, 1:]], dim=1)
    for layer in encoder.layers:
        hidden = layer(hidden)
    return encoder.layernorm(hidden)


def plain(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return tower(model)(pixel_values=pixels).last_hidden_state


def radio(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return model(pixel_values=pixels).features


EXPECTED: dict[str, tuple[Direct, Statistics]] = {
    **dict.fromkeys(("dinov2", "registers", "dinov3"), (plain, IMAGENET)),
    **dict.fromkeys(("siglip", "siglip-vision"), (asked, HALF)),
    **dict.fromkeys(("siglip2", "siglip2-vision"), (naflex, HALF)),
    **dict.fromkeys(("clip", "clip-vision", "clip-projection"), (asked, CLIP)),
    **dict.fromkeys(("mae", "mae-pretraining"), (unmasked, IMAGENET)),
    **dict.fromkeys(("tips", "tips-vision"), (plain, UNIT)),
    # It normalises by itself.
    "radio": (radio, UNIT),
}


def as_grid(tokens: torch.Tensor) -> torch.Tensor:
    """The tokens of the patches, which are the last."""
    patches = clip_outliers(tokens[:, -ROWS * COLUMNS :].float())
    return patches.transpose(1, 2).unflatten(2, (ROWS, COLUMNS))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_features_are_those_of_the_librarys_own_call(name: str, tmp_path: Path) -> None:
    model = save_random_model(name, tmp_path)
    backbone = load_backbone(str(tmp_path))
    features = backbone.features(images_of(), stride=PATCH)
    direct, statistics = EXPECTED[name]
    with torch.inference_mode():
        expected = as_grid(direct(model, pixels_of(images_of(), statistics)))
    assert features.shape == (2, backbone.channels, ROWS, COLUMNS) and features.dtype == torch.float32
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_features_are_on_the_latent_grid_and_depend_on_the_image_alone(name: str, tmp_path: Path) -> None:
    save_random_model(name, tmp_path)
    backbone = load_backbone(str(tmp_path))
    assert backbone.features(images_of(1), stride=4).shape == (1, backbone.channels, ROWS * 2, COLUMNS * 2)
    with pytest.raises(UserError, match="40x24 is not a multiple of 16"):
        backbone.features(images_of(1), stride=16)
    together = backbone.features(images_of(3), stride=PATCH)
    apart = torch.cat([backbone.features(image[None], stride=PATCH) for image in images_of(3)])
    torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(backbone.features(images_of(3), stride=PATCH), together, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("whole", "alone"), [("siglip", "siglip-vision"), ("siglip2", "siglip2-vision"), ("clip", "clip-vision")]
)
def test_the_image_encoder_is_the_same_alone_and_in_the_whole_model(whole: str, alone: str, tmp_path: Path) -> None:
    model = save_random_model(whole, tmp_path / "whole")
    part = random_model(alone)
    assert type(model.vision_model) is type(part)
    model.vision_model.save_pretrained(tmp_path / "alone")
    one, other = load_backbone(str(tmp_path / "whole")), load_backbone(str(tmp_path / "alone"))
    assert one.revision == other.revision
    torch.testing.assert_close(one.features(images_of()), other.features(images_of()), rtol=0, atol=0)


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("layer", [0, -2])
def test_an_earlier_layer_is_that_of_a_model_without_those_after_it(name: str, layer: int, tmp_path: Path) -> None:
    model = save_random_model(name, tmp_path)
    features = load_backbone(f"{tmp_path}?layer={layer}").features(images_of(), stride=PATCH)
    encoder = getattr(model, "vit", tower(model))
    layers = next(part for part in encoder.modules() if isinstance(part, torch.nn.ModuleList))
    del layers[range(DEPTH)[layer] + 1 :]
    direct, statistics = EXPECTED[name]
    with torch.inference_mode():
        expected = as_grid(direct(model, pixels_of(images_of(), statistics)))
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "facet"), [*((name, "key") for name in TRANSFORMERS), ("dinov3", "query"), ("clip-vision", "value")]
)
def test_a_facet_is_what_the_attention_of_the_layer_computes(name: str, facet: str, tmp_path: Path) -> None:
    model = save_random_model(name, tmp_path)
    part = f"{facet[0]}_proj"
    features = load_backbone(f"{tmp_path}?facet={facet}&layer=1").features(images_of(), stride=PATCH)
    found: list[torch.Tensor] = []
    encoder = getattr(model, "vit", tower(model))
    projections = [module for path, module in encoder.named_modules() if path.endswith(part)]
    assert len(projections) == DEPTH
    projections[1].register_forward_hook(lambda *call: found.append(call[-1]))
    direct, statistics = EXPECTED[name]
    with torch.inference_mode():
        direct(model, pixels_of(images_of(), statistics))
    torch.testing.assert_close(features, as_grid(found[0]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_tokens_of_layers_are_those_of_the_library_and_pass_gradients(name: str, tmp_path: Path) -> None:
    model = save_random_model(name, tmp_path)
    backbone = load_backbone(str(tmp_path))
    assert isinstance(backbone, LayeredBackbone)
    pixels = torch.from_numpy(images_of() / np.float32(255)).permute(0, 3, 1, 2).requires_grad_()
    tokens = backbone.layer_tokens(pixels, 2, PATCH)
    found: list[torch.Tensor] = []
    encoder = getattr(model, "vit", tower(model))
    layers = next(part for part in encoder.modules() if isinstance(part, torch.nn.ModuleList))
    for layer in layers[:2]:
        layer.register_forward_hook(lambda *call: found.append(call[-1]))
    direct, statistics = EXPECTED[name]
    with torch.inference_mode():
        direct(model, pixels_of(images_of(), statistics))
    assert len(tokens) == len(found) == 2
    for one, other in zip(tokens, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    tokens[1].square().sum().backward()
    assert pixels.grad is not None and pixels.grad.abs().sum() > 0
    with pytest.raises(UserError, match="has 3 layers, and 4 are needed"):
        backbone.layer_tokens(pixels, 4, PATCH)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_stages_of_a_convolutional_network_are_those_of_the_library(stage: int, tmp_path: Path) -> None:
    model = save_random_model("convnext", tmp_path)
    backbone = load_backbone(f"{tmp_path}?layer={stage}")
    cell = 4 * 2**stage
    images = np.random.default_rng(0).integers(256, size=(2, 3 * 32, 5 * 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        output = model(pixel_values=pixels_of(images, IMAGENET), output_hidden_states=True)
    last = output.last_hidden_state[:, 1:].transpose(1, 2).unflatten(2, (3, 5)) if stage == 3 else None
    expected = output.hidden_states[-4 + stage] if last is None else last
    assert backbone.channels == [8, 12, 16, 20][stage]
    torch.testing.assert_close(backbone.features(images, stride=cell), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["sam", "sam-vision"])
def test_sam_at_its_own_size_is_the_librarys_own_call(name: str, tmp_path: Path) -> None:
    model = save_random_model(name, tmp_path)
    encoder = getattr(model, "vision_encoder", model)
    images = np.random.default_rng(0).integers(256, size=(2, GRID * PATCH, GRID * PATCH, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = encoder(pixels_of(images, IMAGENET)).last_hidden_state
    backbone = load_backbone(str(tmp_path))
    assert backbone.channels == 24
    torch.testing.assert_close(backbone.features(images, stride=PATCH), expected, rtol=1e-4, atol=1e-4)
    earlier = load_backbone(f"{tmp_path}?layer=1")
    assert earlier.channels == 32 and earlier.features(images, stride=PATCH).shape == (2, 32, GRID, GRID)


def test_sam_at_another_size_is_a_model_of_that_size_with_interpolated_positions(tmp_path: Path) -> None:
    model = save_random_model("sam-vision", tmp_path)
    size = 6
    config = transformers.SamVisionConfig.from_pretrained(tmp_path, image_size=size * PATCH)
    larger = transformers.SamVisionModel(config).eval()
    state = model.state_dict()
    for name, value in larger.state_dict().items():
        if name.endswith("pos_embed"):
            grid = F.interpolate(state[name].permute(0, 3, 1, 2), (size, size), mode="bicubic")
            state[name] = grid.permute(0, 2, 3, 1)
        elif state[name].shape != value.shape:
            # The relative positions of layers without windows.
            state[name] = F.interpolate(state[name].T[None], len(value), mode="linear")[0].T
    larger.load_state_dict(state)
    images = np.random.default_rng(0).integers(256, size=(2, size * PATCH, size * PATCH, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = larger(pixels_of(images, IMAGENET)).last_hidden_state
    features = load_backbone(str(tmp_path)).features(images, stride=PATCH)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
@pytest.mark.parametrize("name", ["sam2", "sam2-video", "sam2-vision"])
def test_sam2_is_the_librarys_own_call_on_the_image_padded_to_its_windows(
    name: str, layer: int, tmp_path: Path
) -> None:
    model = save_random_model(name, tmp_path)
    encoder = getattr(model, "vision_encoder", model)
    backbone = load_backbone(f"{tmp_path}?layer={layer}")
    cell = [4, 8, 16, 16][layer]
    assert backbone.channels == [8, 16, 32, 24][layer]
    for height, width in ((64, 96), (48, 80)):
        images = np.random.default_rng(0).integers(256, size=(2, height, width, 3), dtype=np.uint8)
        padded = torch.zeros(2, 3, 64, 96)
        padded[:, :, :height, :width] = pixels_of(images, IMAGENET)
        with torch.inference_mode():
            last = encoder(padded).fpn_hidden_states[-1]
            stages = [stage.permute(0, 3, 1, 2) for stage in encoder.backbone(padded).intermediate_hidden_states]
        expected = [*stages[:3], last][layer][:, :, : height // cell, : width // cell]
        torch.testing.assert_close(backbone.features(images, stride=cell), expected, rtol=1e-4, atol=1e-4)


def test_sam2_is_the_same_alone_and_in_the_whole_model(tmp_path: Path) -> None:
    model = save_random_model("sam2-video", tmp_path / "whole")
    model.vision_encoder.save_pretrained(tmp_path / "alone")
    one, other = (load_backbone(str(tmp_path / name)) for name in ("whole", "alone"))
    assert one.revision == other.revision


def test_images_are_normalised_as_the_image_processor_says(tmp_path: Path) -> None:
    model = save_random_model("dinov3", tmp_path)
    usual = load_backbone(str(tmp_path))
    statistics = ((0.43, 0.411, 0.296), (0.213, 0.156, 0.143))
    settings = {"image_mean": statistics[0], "image_std": statistics[1], "do_normalize": True}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    backbone = load_backbone(str(tmp_path))
    with torch.inference_mode():
        expected = as_grid(plain(model, pixels_of(images_of(), statistics)))
    torch.testing.assert_close(backbone.features(images_of(), PATCH), expected, rtol=1e-4, atol=1e-4)
    assert backbone.revision != usual.revision
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**settings, "do_normalize": False}))
    with torch.inference_mode():
        expected = as_grid(plain(model, pixels_of(images_of(), UNIT)))
    torch.testing.assert_close(
        load_backbone(str(tmp_path)).features(images_of(), PATCH), expected, rtol=1e-4, atol=1e-4
    )
    (tmp_path / "preprocessor_config.json").unlink()
    nested = {"image_processor": {"image_mean": IMAGENET[0], "image_std": IMAGENET[1]}}
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    assert load_backbone(str(tmp_path)).revision == usual.revision
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": {**settings, "image_std": [0, 1]}}))
    with pytest.raises(UserError, match=r"image_std \[0, 1\], where three numbers each are expected"):
        load_backbone(str(tmp_path))


def test_the_last_layer_has_one_revision_and_every_other_choice_its_own(tmp_path: Path) -> None:
    save_random_model("dinov2", tmp_path)
    same = {load_backbone(f"{tmp_path}{more}").revision for more in ("", "?layer=-1", "?layer=2", "?facet=token")}
    assert len(same) == 1
    changed = ("?layer=1", "?layer=0", "?facet=key", "?facet=key&layer=1", "?facet=query", "?precision=bf16")
    others = {load_backbone(f"{tmp_path}{more}").revision for more in changed}
    assert len(others) == len(changed) and not others & same
    assert load_backbone(f"{tmp_path}?layer=-3").revision == load_backbone(f"{tmp_path}?layer=0").revision


@pytest.mark.parametrize("name", [name for name in MODELS if not name.endswith(("-vision", "-projection"))])
def test_bf16_gives_nearly_the_same_features(name: str, tmp_path: Path) -> None:
    save_random_model(name, tmp_path)
    full, half = load_backbone(str(tmp_path)), load_backbone(f"{tmp_path}?precision=bf16")
    one, other = full.features(images_of(), PATCH), half.features(images_of(), PATCH)
    assert other.dtype == torch.float32
    assert torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1] > 0.99


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("dinov2", "layer=3", r"has no layer 3: set backbone.layer to one of 0..2, or of -3..-1"),
        ("dinov2", "layer=-4", r"has no layer -4"),
        ("dinov2", "block=1", r"is no diffusion model, .* leave block out, and give a layer"),
        ("convnext", "facet=key", r"have no key: give facet=token"),
        ("sam", "facet=value", r"have no value: give facet=token"),
        ("dinov2", "layer=deep", r"layer: Input should be a valid integer"),
        ("dinov2", "colour=red", r"colour: Extra inputs are not permitted"),
        ("dinov2", "layer", r"give settings as in 'NAME\?layer=-3&facet=key'"),
    ],
)
def test_settings_that_a_model_does_not_have_are_refused(
    name: str, settings: str, message: str, tmp_path: Path
) -> None:
    save_random_model(name, tmp_path)
    with pytest.raises(UserError, match=message) as error:
        load_backbone(f"{tmp_path}?{settings}")
    assert str(error.value).startswith(f"backbone '{tmp_path}?{settings}': ") and "\n" not in str(error.value)


def test_a_model_of_another_family_is_refused(tmp_path: Path) -> None:
    transformers.BeitConfig(**SIZES).save_pretrained(tmp_path)
    with pytest.raises(
        UserError, match=r"it is a model of type 'beit', and only DINOv2, DINOv3, .* give dense features"
    ):
        load_backbone(str(tmp_path))


def test_a_model_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    model = save_random_model("clip-vision", tmp_path)
    state = {name: value for name, value in model.state_dict().items() if "layers.2" not in name}
    model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(UserError, match=r"the weights lack .* tensors of CLIPVisionModel"):
        load_backbone(str(tmp_path))


def test_every_family_is_one_that_transformers_has() -> None:
    for kind in FAMILIES:
        family, config = read_config({"model_type": kind})
        assert hasattr(transformers, family.model) and config is not None
