"""Plan and run both refuse models that do not fit, before any work, in a line that names the key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EDMDPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DConditionModel,
)
from transformers import BeitConfig, BertConfig, CLIPTextConfig, Dinov2Config, ViTConfig

from augment.backbones import load_backbone
from augment.errors import UserError
from augment.layouts.basis import LayoutBasis
from augment.lumen.bases.loading import load_diffusion_model
from pipeline.checks.models import require_backbone, require_base, require_basis_fits, require_controlnet
from pipeline.config import Config
from tests.augment.lumen.bases.small_families import FAMILIES, save_family
from tests.augment.lumen.test_warm_start import trained_controlnet
from tests.pipeline.checks.refusal import refusal
from tests.pipeline.workflow.test_run import kept

Configure = Callable[..., Config]
WIDTHS = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def unet(folder: Path, **changes: object) -> None:
    """Another U-Net for a base model: only its configuration, which is all that the checks read."""
    settings = {**json.loads((folder / "unet" / "config.json").read_text()), **changes}
    model = UNet2DConditionModel(**{name: value for name, value in settings.items() if not name.startswith("_")})
    model.save_config(folder / "unet")


def index(folder: Path, name: str, **parts: object) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "_class_name": name, **parts}))


def sdxl_without_sizes(folder: Path) -> None:
    index(folder, "StableDiffusionXLPipeline", text_encoder_2=["transformers", "CLIPTextModelWithProjection"])


def sdxl_refiner(folder: Path) -> None:
    text_time = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    unet(folder, **text_time, projection_class_embeddings_input_dim=80)
    second = ["transformers", "CLIPTextModelWithProjection"]
    index(folder, "StableDiffusionXLImg2ImgPipeline", text_encoder=[None, None], text_encoder_2=second)


def flux(folder: Path) -> None:
    index(folder, "FluxPipeline", unet=[None, None], transformer=["diffusers", "FluxTransformer2DModel"])


def consistency(folder: Path) -> None:
    unet(folder, time_cond_proj_dim=32)


def inpainting(folder: Path) -> None:
    unet(folder, in_channels=9)
    index(folder, "StableDiffusionInpaintPipeline")


def pix2pix(folder: Path) -> None:
    unet(folder, in_channels=8)
    index(folder, "StableDiffusionInstructPix2PixPipeline")


def upscaler(folder: Path) -> None:
    unet(folder, num_class_embeds=1000)


def wider_text(folder: Path) -> None:
    CLIPTextConfig(hidden_size=64).save_pretrained(folder / "text_encoder")


def other_text(folder: Path) -> None:
    BertConfig(**WIDTHS).save_pretrained(folder / "text_encoder")


def sixteenth(folder: Path) -> None:
    blocks = ("DownEncoderBlock2D",) * 5, ("UpDecoderBlock2D",) * 5
    AutoencoderKL(3, 3, *blocks, block_out_channels=(8,) * 5, norm_num_groups=8).save_config(folder / "vae")


def other_latents(folder: Path) -> None:
    AutoencoderKL(latent_channels=16, block_out_channels=(8,), norm_num_groups=8).save_config(folder / "vae")


def predicts_sample(folder: Path) -> None:
    DDIMScheduler(prediction_type="sample").save_config(folder / "scheduler")


def trained_by_edm(folder: Path) -> None:
    EDMDPMSolverMultistepScheduler().save_config(folder / "scheduler")


def flow_matching(folder: Path) -> None:
    FlowMatchEulerDiscreteScheduler().save_config(folder / "scheduler")


def scaled_by_channel(folder: Path) -> None:
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=8, latents_mean=[0.0] * 4, latents_std=[1.0] * 4)
    vae.save_config(folder / "vae")


def no_unet(folder: Path) -> None:
    (folder / "unet" / "config.json").unlink()


BASES = [
    (sdxl_without_sizes, "its U-Net reads no additions, and not the pooled text and the sizes of SDXL"),
    (sdxl_refiner, "it has no first text encoder (an SDXL refiner"),
    (flux, "it is a FluxPipeline"),
    (consistency, "reads the guidance scale (a latent consistency model: take its LoRA"),
    (inpainting, "StableDiffusionInpaintPipeline has in_channels 9, but its latents have 4 (an inpainting model"),
    (pix2pix, "StableDiffusionInstructPix2PixPipeline has in_channels 8, but its latents have 4 (an instruct-pix2pix"),
    (upscaler, "needs more than a prompt (num_class_embeds)"),
    (wider_text, "its U-Net reads text embeddings of width 32, but its text encoder gives 64"),
    (other_text, "its text encoder is a model of type 'bert'"),
    (sixteenth, "a cell of its latent covers 16 pixels, but a cell of a layout covers 8"),
    (other_latents, "has in_channels 4, but its latents have 16"),
    (predicts_sample, "it predicts 'sample'"),
    (trained_by_edm, "its schedule is EDMDPMSolverMultistepScheduler"),
    (flow_matching, "its schedule is FlowMatchEulerDiscreteScheduler"),
    (scaled_by_channel, "its vae scales each channel of the latents"),
    (no_unet, "it has no unet/config.json"),
]


@pytest.mark.parametrize(("change", "expected"), BASES, ids=[change.__name__ for change, _ in BASES])
def test_base_of_another_kind_is_refused_with_what_is_supported(
    small_base: Path, tmp_path: Path, change: Callable[[Path], None], expected: str
) -> None:
    base = Path(shutil.copytree(small_base, tmp_path / "base"))
    require_base(str(base))
    change(base)
    with pytest.raises(
        UserError, match=r"^generator\.base=.*: give a model like Stable Diffusion 1\.x and 2\.x, SDXL"
    ) as error:
        require_base(str(base))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", FAMILIES)
def test_base_of_each_family_passes(kind: str, tmp_path: Path) -> None:
    assert require_base(str(save_family(kind, tmp_path / "base")))["in_channels"] in (4, 16)


def test_shipped_models_pass() -> None:
    assert require_base("lumen-tiny")["in_channels"] == 8
    assert require_backbone("dinov2-vits14") == 384


CONTROLNETS: list[tuple[str, dict[str, object], str]] = [
    ("sdxl", {}, "it has block_out_channels [16, 32], and the base has [16, 16, 16]"),
    ("sd3", {}, "it is a SD3ControlNetModel, and bases like Stable Diffusion 1.x and 2.x have a ControlNetModel"),
    ("stable-diffusion", {"cross_attention_dim": 64}, "it has cross_attention_dim 64, and the base has 32"),
    (
        "stable-diffusion",
        {"addition_embed_type": "text_time"},
        "it has addition_embed_type text_time, and the base",
    ),
    ("stable-diffusion", {"global_pool_conditions": True}, "it steers the image as a whole (global_pool_conditions)"),
    ("stable-diffusion", {"_class_name": "LayoutControlNet"}, "(give an adapter as generator.adapter)"),
]


@pytest.mark.parametrize(("kind", "changes", "expected"), CONTROLNETS, ids=[text for _, _, text in CONTROLNETS])
def test_controlnet_for_another_base_is_refused(
    small_base: Path, tmp_path: Path, kind: str, changes: dict[str, object], expected: str
) -> None:
    base = load_diffusion_model(str(save_family(kind, tmp_path / "base")))
    folder = tmp_path / "controlnet"
    trained_controlnet(base).save_config(folder)
    require_controlnet(str(folder), base.name)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(UserError, match=rf"^adapt\.controlnet={folder}: .*: give a ControlNet for bases") as error:
        require_controlnet(str(folder), str(small_base))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_controlnet_that_is_none_is_refused_by_plan(
    configure: Configure, small_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    new = ["generator.adapter=null", "layout.basis=own", "adapt.steps=1"]
    message = refusal("plan", recipe, [*new, f"adapt.controlnet={small_base}"], capsys)
    assert f"adapt.controlnet={small_base}: it has no config.json: give a ControlNet for bases like" in message
    message = refusal("plan", recipe, [*new, "adapt.controlnet=some/controlnet"], capsys)
    assert "adapt.controlnet=some/controlnet: not in the local cache" in message
    message = refusal("plan", recipe, ["adapt.steps=1", "adapt.controlnet=some/controlnet"], capsys)
    assert "adapt.controlnet: the training starts from generator.adapter" in message


@pytest.mark.parametrize("command", ["run", "plan"])
def test_base_is_checked_before_anything_is_written(
    configure: Configure, small_base: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = Path(shutil.copytree(small_base, tmp_path / "base"))
    flux(base)
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    message = refusal(command, recipe, [f"generator.base={base}"], capsys)
    assert f"generator.base={base}: it is a FluxPipeline" in message
    assert not (tmp_path / "new").exists()


def test_reuse_of_blocks_is_refused_where_there_are_none(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    base = save_family("sd3", tmp_path / "base")
    changes = [f"generator.base={base}", "generator.adapter=null", "adapt.steps=1", "layout.basis=own"]
    message = refusal("plan", recipe, [*changes, "generator.reuse_blocks=2"], capsys)
    assert f"generator.reuse_blocks=2: generator.base={base} has no U-Net with deep blocks" in message


@pytest.mark.parametrize(
    "config",
    [BeitConfig(**WIDTHS), CLIPTextConfig(**WIDTHS), ViTConfig(**WIDTHS)],
    ids=lambda config: config.model_type,
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_other_models_are_refused(
    configure: Configure, tmp_path: Path, config: ViTConfig, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config.save_pretrained(tmp_path / "tower")
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    message = refusal(command, recipe, [f"backbone.name={tmp_path / 'tower'}"], capsys)
    assert f"backbone.name={tmp_path / 'tower'}: it is a model of type {config.model_type!r}" in message
    assert "DINOv2" in message
    assert not (tmp_path / "new").exists()


def save_dino(folder: Path, hidden_size: int) -> Path:
    from transformers import Dinov2Model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        size = {**WIDTHS, "hidden_size": hidden_size, "image_size": 28, "patch_size": 14}
        Dinov2Model(Dinov2Config(**size)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("width", "expected"), [(32, "which has 384 channels, and this one has 32"), (384, "revision")]
)
def test_backbone_that_the_basis_was_not_fitted_on_is_refused(
    configure: Configure, tmp_path: Path, command: str, width: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_dino(tmp_path / "dino", width)
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    message = refusal(command, recipe, [f"backbone.name={folder}"], capsys)
    assert f"backbone.name={folder}: the basis of generator.adapter was fitted on 'dinov2-vits14'" in message
    assert expected in message
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["backbone.layer=9"], "backbone.name=dinov2-vits14?layer=9: the basis of generator.adapter was fitted on"),
        (["backbone.facet=key"], "of another revision"),
        (
            ["backbone.layer=12"],
            "backbone.name=dinov2-vits14: it has no layer 12: set backbone.layer to one of 0..11, or of -12..-1",
        ),
        (["backbone.name=[dinov2-vits14, lumen-tiny]"], "which has 384 channels, and this one has 512"),
        (["backbone.name=lumen-tiny", "backbone.block=3"], "its U-Net has no up block 3: give one of 0..2"),
        (["backbone.name=[dinov2-vits14, lumen-tiny]", "backbone.layer=3"], "in the name of its backbone, as in"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_features_that_the_adapter_was_not_trained_on_are_refused(
    configure: Configure,
    tmp_path: Path,
    command: str,
    overrides: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    assert expected in refusal(command, recipe, overrides, capsys)
    assert not (tmp_path / "new").exists()


def test_same_backbone_fits(small_base: Path) -> None:
    basis = LayoutBasis.load(small_base / "adapter" / "basis")
    assert basis.revision == load_backbone("dinov2-vits14").revision
    require_basis_fits(small_base / "adapter" / "basis", "dinov2-vits14", 384)
    require_basis_fits(small_base / "adapter" / "basis", "owner/dinov2-not-here-yet", 384)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_model_that_cannot_caption_images_is_refused(
    configure: Configure, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    BertConfig(**WIDTHS).save_pretrained(tmp_path / "words")
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    message = refusal(command, recipe, [f"captions.model={tmp_path / 'words'}"], capsys)
    assert "it is a model of type 'bert': give an image-to-text model" in message


@pytest.mark.parametrize("command", ["run", "plan"])
def test_cache_that_cannot_be_written_is_named_before_anything_is_done(
    configure: Configure,
    tmp_path: Path,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LUMEN_CACHE", str(tmp_path / "file" / "cache"))
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    message = refusal(command, recipe, [], capsys)
    assert f"{tmp_path / 'file' / 'cache'}" in message and "set LUMEN_CACHE to a writable folder" in message
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError, match="set LUMEN_CACHE"):
        load_backbone("dinov2-vits14")


@pytest.mark.parametrize(
    "overrides",
    [
        ["generator.base=foo:bar", "generator.adapter=null", "layout.basis=own", "adapt.steps=5"],
        ["captions.model=foo:bar"],
    ],
    ids=["base", "captioner"],
)
def test_only_a_backbone_may_be_an_import_path(
    configure: Configure, tmp_path: Path, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    assert f"{overrides[0]}: no such folder, and no hub id" in refusal("plan", recipe, overrides, capsys)
