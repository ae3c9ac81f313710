"""A backbone with its settings is one name, which loads the same features wherever a basis takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from augment.backbones import BackboneOptions, FeatureOptions, load_backbone
from augment.backbones.fused import FusedBackbone
from augment.backbones.options import parse_name, split_fusion, written_name
from augment.errors import UserError
from augment.layouts.basis import LayoutBasis
from augment.layouts.extraction import extract_layouts
from augment.layouts.fitting import fit_basis, scene_moments
from augment.layouts.options import BasisOptions
from pipeline.checks.models import require_backbone
from pipeline.stages.fit import require_reachable_backbone
from pipeline.workspace.model_files import backbone_identity
from tests.augment.backbones.small_models import MODELS, save_random_model

OFFLINE = "dinov2-vits14"


@given(
    st.integers(-40, 40),
    st.sampled_from(["token", "key", "query", "value"]),
    st.none() | st.integers(0, 3),
    st.none() | st.integers(0, 999),
    st.sampled_from(["fp32", "bf16"]),
)
def test_a_written_name_is_read_as_what_was_written(
    layer: int, facet: str, block: int | None, timestep: int | None, precision: str
) -> None:
    settings = FeatureOptions.model_validate(
        {"layer": layer, "facet": facet, "block": block, "timestep": timestep, "precision": precision}
    )
    assert parse_name(written_name("facebook/dinov2-base", settings)) == ("facebook/dinov2-base", settings)


def test_the_defaults_are_the_name_alone() -> None:
    assert BackboneOptions(name=OFFLINE).reference == OFFLINE
    assert BackboneOptions(name=OFFLINE, layer=-1, facet="token", precision="fp32").reference == OFFLINE
    assert BackboneOptions(name=OFFLINE, layer=-3, facet="key").reference == f"{OFFLINE}?layer=-3&facet=key"


def test_a_list_is_a_fusion_and_folders_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "dino").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    options = BackboneOptions.model_validate({"name": ["models/dino?layer=1", OFFLINE]})
    assert split_fusion(options.reference) == [f"{tmp_path}/models/dino?layer=1", OFFLINE]
    assert BackboneOptions.model_validate(options.model_dump(mode="json")) == options


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    save_random_model("dinov2", tmp_path / "dino")
    revision = load_backbone(str(tmp_path / "dino")).revision
    folder = (tmp_path / "dino").rename(tmp_path / "a + b?layer=1")
    assert load_backbone(BackboneOptions(name=str(folder)).reference).revision == revision
    with pytest.raises(ValidationError, match="in it, which separates backbones; give a list"):
        BackboneOptions.model_validate({"name": [str(folder), OFFLINE]})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"name": [OFFLINE, "lumen-tiny"], "layer": 2},
            r"give layer in the name of its backbone, as in 'NAME\?layer=2'",
        ),
        ({"name": f"{OFFLINE}?layer=1", "facet": "key"}, "give facet in the name of its backbone"),
        ({"name": "mine:Backbone", "layer": 2}, "a backbone of your own takes no layer"),
        ({"name": "mine:Backbone?layer=2"}, "takes no settings"),
        ({"name": f"{OFFLINE}?depth=2"}, "depth: Extra inputs are not permitted"),
        ({"name": ""}, "it is empty"),
        ({"name": f"{OFFLINE} + lumen-tiny"}, "give a list of them"),
        ({"name": [OFFLINE]}, "at least 2"),
        ({"name": "/nowhere?layer=2"}, "there is no folder /nowhere"),
        ({"name": OFFLINE, "block": -1}, "greater than or equal to 0"),
    ],
)
def test_mistakes_are_refused(section: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BackboneOptions.model_validate(section)


def test_a_fusion_has_the_features_of_all_side_by_side(tmp_path: Path) -> None:
    save_random_model("clip", tmp_path)
    names = [f"{OFFLINE}?layer=2", "lumen-tiny?block=2", str(tmp_path)]
    fused = load_backbone(" + ".join(names))
    members = [load_backbone(name) for name in names]
    assert isinstance(fused, FusedBackbone) and fused.channel_groups == (384, 80, 32) and fused.channels == 496
    images = np.random.default_rng(0).integers(256, size=(2, 32, 48, 3), dtype=np.uint8)
    expected = torch.cat([member.features(images) for member in members], dim=1)
    torch.testing.assert_close(fused.features(images), expected, rtol=0, atol=0)
    assert fused.revision not in {member.revision for member in members}
    assert fused.revision != load_backbone(" + ".join(reversed(names))).revision


class Flat:
    """A backbone that gives features on a device of its own, as one of the user's may."""

    def __init__(self, device: str) -> None:
        self.name, self.revision, self.channels, self.device = device, device, 2, device

    def features(self, images: np.ndarray, stride: int = 8) -> torch.Tensor:
        height, width = images.shape[1] // stride, images.shape[2] // stride
        return torch.zeros(len(images), 2, height, width, device=self.device)


def test_a_fusion_brings_features_to_the_device_of_the_first_backbone() -> None:
    found = FusedBackbone("a + b", [Flat("meta"), Flat("cpu")]).features(np.zeros((1, 16, 24, 3), np.uint8))
    assert found.shape == (1, 4, 2, 3) and found.device.type == "meta"


def test_a_basis_loads_the_features_that_it_was_fitted_on(tmp_path: Path) -> None:
    save_random_model("dinov3", tmp_path / "model")
    images = np.random.default_rng(0).integers(256, size=(3, 32, 48, 3), dtype=np.uint8)
    backbone = load_backbone(f"{tmp_path / 'model'}?layer=1&facet=value + lumen-tiny")
    assert isinstance(backbone, FusedBackbone)
    options = BasisOptions(basis_kind="pca", standardize=False)
    moments = scene_moments(images, [], backbone.features, options)
    basis = fit_basis(moments, 4, backbone.name, backbone.revision, options, backbone.channel_groups)
    basis.save(tmp_path / "basis")
    found = LayoutBasis.load(tmp_path / "basis")
    again = load_backbone(found.backbone)
    assert again.revision == found.revision
    layouts = extract_layouts(images, again, found)
    np.testing.assert_array_equal(layouts, extract_layouts(images, backbone, basis))
    assert np.abs(layouts.astype(float).std(axis=(0, 2, 3)) - 1).max() < 0.05


@pytest.mark.parametrize("name", MODELS)
def test_the_checks_before_a_run_know_the_channels(name: str, tmp_path: Path) -> None:
    save_random_model(name, tmp_path)
    for reference in (str(tmp_path), f"{tmp_path}?layer=0"):
        assert require_reachable_backbone(reference) == load_backbone(reference).channels


def test_the_checks_before_a_run_know_diffusion_models_and_fusions() -> None:
    assert require_reachable_backbone("lumen-tiny?block=0") == load_backbone("lumen-tiny?block=0").channels
    assert require_reachable_backbone(f"{OFFLINE}?layer=3 + lumen-tiny") == 384 + 128


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            f"{OFFLINE}?layer=12",
            r"^backbone.name=dinov2-vits14: it has no layer 12: set backbone.layer to one of 0..11",
        ),
        ("lumen-tiny?block=7", r"^backbone.name=lumen-tiny: its U-Net has no up block 7"),
        ("lumen-tiny?timestep=1000", r"^backbone.name=lumen-tiny: its noise schedule has no timestep 1000"),
        (f"{OFFLINE} + lumen-tiny?layer=2", r"^backbone.name=lumen-tiny: it is a diffusion model, which has no layer"),
        (f"{OFFLINE}?timestep=4", r"^backbone.name=dinov2-vits14: it is no diffusion model"),
    ],
)
def test_features_that_a_model_does_not_have_are_refused_before_a_run(reference: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        require_backbone(reference)


def test_settings_are_part_of_what_stages_depend_on() -> None:
    plain = backbone_identity(OFFLINE)
    assert plain == {"name": OFFLINE}
    assert backbone_identity(f"{OFFLINE}?layer=-3&precision=bf16") == {
        "name": OFFLINE,
        "layer": -3,
        "precision": "bf16",
    }
    assert backbone_identity(f"{OFFLINE} + {OFFLINE}?layer=2") == [plain, {"name": OFFLINE, "layer": 2}]
