"""`lumen pretrain` trains, from scratch, a model that diffusers and this project load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from augment.errors import UserError
from augment.layouts.basis import LayoutBasis
from augment.layouts.options import BasisOptions
from augment.lumen.adapter import LayoutControlNet
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from pipeline.cli import guarded
from pipeline.workflow.pretrain import PretrainConfig, keep_request, require_same_request

WEIGHTS = "diffusion_pytorch_model.safetensors"
RECIPE = """
name: smallest
workspace: {folder}/work
destination: {folder}/model
backbone: {{name: dinov2-vits14}}
sources:
  streets:
    dataset: {{kind: rendered, splits: [train], render: {{train: 6, val: 1, height: 64, width: 128}}}}
    geometry: {{height: 48, width: 96}}
    crops_per_image: 2
model:
  num_components: 5
  latent_channels: 4
  unet_channels: [16, 16, 16]
  text_width: 32
  text_layers: 1
  adapter_hidden_channels: 8
decoder: {{steps: 2, batch_size: 2, log_every: 1}}
diffusion: {{steps: 2, batch_size: 2, log_every: 1, sample_every: 2}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pretrain")
    (path / "smallest.yaml").write_text(RECIPE.format(folder=path))
    assert guarded(["pretrain", str(path / "smallest.yaml")]) == 0
    return path


def test_model_is_loaded_by_this_project_and_paints(folder: Path) -> None:
    base = load_diffusion_model(str(folder / "model"))
    adapter = LayoutControlNet.from_pretrained(folder / "model" / "adapter", torch_dtype=torch.float32)
    basis = LayoutBasis.load(folder / "model" / "adapter" / "basis")
    assert adapter.config.num_components == basis.num_components == 5
    layout = np.zeros((5, 6, 12), np.float16)
    (image,) = LayoutSampler(base, adapter, SamplerOptions(num_steps=2)).generate(
        [Request(layout, 3, "a rendered street", 0)]
    )
    assert image.shape == (48, 96, 3)


def test_model_is_loaded_by_diffusers_unaided(folder: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folder / "model", torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("a photo of a street, day", height=64, width=64, num_inference_steps=2, output_type="np").images
    assert image.shape == (1, 64, 64, 3)


def test_saved_model_does_not_contain_its_path(folder: Path) -> None:
    for path in (folder / "model").rglob("*.json"):
        assert str(folder) not in path.read_text()


def test_record_of_the_training_comes_with_the_model(folder: Path) -> None:
    rows = (folder / "model" / "loss-diffusion.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2]
    assert list((folder / "work" / "diffusion" / "samples").glob("*.png"))


def test_model_is_trained_on_views_of_the_crops(folder: Path, tmp_path: Path) -> None:
    settings = [f"workspace={tmp_path / 'work'}", f"destination={tmp_path / 'model'}"]
    for part in ("vae", "basis", "decoder", "scenes-streets"):
        shutil.copytree(folder / "work" / part, tmp_path / "work" / part)
    views = ["diffusion.views=2", "diffusion.view_share=1"]
    assert guarded(["pretrain", str(folder / "smallest.yaml"), *settings, *views]) == 0
    encoded = load_file(tmp_path / "work" / "latents-streets.safetensors")
    before = load_file(folder / "work" / "latents-streets.safetensors")
    assert before.keys() == {"latents", "layouts"}
    assert torch.equal(encoded["layouts"], before["layouts"])
    assert encoded["views"].shape == (12, 2, *before["layouts"].shape[1:])
    assert not any(torch.equal(one, other) for one, other in encoded["views"])
    rows = [(path / "loss-diffusion.jsonl").read_text().splitlines() for path in (tmp_path / "model", folder / "model")]
    # A new adapter is silent, so the first loss is that of the same samples, noise and captions.
    assert json.loads(rows[0][0])["denoising"] == json.loads(rows[1][0])["denoising"]
    trained, plain = (load_file(path / "model" / "adapter" / WEIGHTS) for path in (tmp_path, folder))
    assert not all(torch.equal(value, plain[name]) for name, value in trained.items())


@pytest.mark.parametrize("setting", ["diffusion.views=2", "diffusion.view_share=0.5"])
def test_views_without_a_share_and_the_reverse_are_refused(
    folder: Path, setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(["pretrain", str(folder / "smallest.yaml"), setting]) == 2
    message = capsys.readouterr().err
    assert "give both above 0 to train on layouts of photometric copies, or both 0" in message
    assert message.count("\n") == 1


def test_workspace_refuses_another_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["pretrain", str(folder / "smallest.yaml"), "model.latent_channels=6"]) == 2
    assert "model.latent_channels: stored 4, requested 6" in capsys.readouterr().err


def test_request_names_only_settings_of_the_backbone_that_are_not_defaults(folder: Path) -> None:
    # Workspaces from before these settings then go on.
    request = json.loads((folder / "work" / "request.json").read_text())
    assert request["backbone"] == {"name": "dinov2-vits14"}


@pytest.mark.parametrize("named", [False, True])
def test_a_pretraining_from_before_basis_kinds_goes_on_with_principal_components(tmp_path: Path, named: bool) -> None:
    """`named`: one that names the kind goes on with other options of the other kind, too."""
    config = PretrainConfig.model_validate(yaml.safe_load(RECIPE.format(folder=tmp_path)))
    pca = config.model_copy(update={"basis": BasisOptions(basis_kind="pca", standardize=False)})
    keep_request(pca)
    request = json.loads((tmp_path / "work" / "request.json").read_text())
    if named:
        request["basis"]["copies"] = 9
    else:
        del request["basis"]
    (tmp_path / "work" / "request.json").write_text(json.dumps(request))
    require_same_request(pca)
    with pytest.raises(UserError, match=r'basis\.basis_kind: stored "pca", requested "invariant"'):
        require_same_request(config)
    standardized = config.model_copy(update={"basis": BasisOptions(basis_kind="pca")})
    with pytest.raises(UserError, match=r"basis\.standardize: stored false, requested true"):
        require_same_request(standardized)


def test_mistake_in_one_of_several_datasets_names_that_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["pretrain", "pretrain/lumen-tiny"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("lumen pretrain: sources.camvid.dataset.root: ")
    assert message.count("\n") == 1


def test_finished_pretraining_is_not_repeated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = (folder / "model" / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    assert guarded(["pretrain", str(folder / "smallest.yaml")]) == 0
    assert "step" not in capsys.readouterr().out
    assert (folder / "model" / "unet" / "diffusion_pytorch_model.safetensors").read_bytes() == weights
