"""Options of the sampler: what counts as another result, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from augment.lumen.sampling.options import EARLIER, SamplerOptions

OLD = {**EARLIER, "timestep_spacing": "base", "num_steps": 20, "guidance_scale": 1.5, "precision": "bf16"}


def test_what_earlier_versions_did_is_the_same_result() -> None:
    found = SamplerOptions.model_validate(OLD).semantic
    del found["timestep_spacing"]
    assert found == {"num_steps": 20, "guidance_scale": 1.5, "precision": "bf16"}


@pytest.mark.parametrize(
    "change",
    [
        {"scheduler": "unipc"},
        {"guidance_interval": (0.5, 1)},
        {"control_strength": 0.5},
        {"control_free_branch": False},
        {"timestep_spacing": "trailing"},
    ],
)
def test_what_changes_the_images_is_another_result(change: dict[str, object]) -> None:
    assert SamplerOptions.model_validate(OLD | change).semantic != SamplerOptions.model_validate(OLD).semantic


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ({"guidance_scale": 1}, {"guidance_interval": (0.5, 1)}),
        ({"guidance_scale": 1}, {"control_free_branch": True}),
        ({"scheduler": "lcm"}, {"timestep_spacing": "leading"}),
    ],
)
def test_what_is_not_used_is_the_same_result(where: dict[str, object], change: dict[str, object]) -> None:
    one, other = (SamplerOptions.model_validate(where | more).semantic for more in ({}, change))
    assert one == other


@pytest.mark.parametrize(
    "wrong",
    [
        {"scheduler": "pndm"},
        {"guidance_interval": (0.5, 0.2)},
        {"guidance_interval": (0, 2)},
        {"control_strength": -1},
        {"lora": ["/nowhere/lora.safetensors"]},
        {"compile": "fast"},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SamplerOptions.model_validate(wrong)
