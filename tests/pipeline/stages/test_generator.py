"""What the images depend on of how they are sampled, and what is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from augment.lumen.sampling.options import EARLIER
from pipeline.stages.generator import GeneratorOptions, sampler_inputs

PLAIN = {"num_steps": 20, "guidance_scale": 1.5, "precision": "bf16"}


def inputs(base: Path | str, **options: object) -> dict[str, object]:
    return dict(sampler_inputs(GeneratorOptions.model_validate({"base": str(base), **EARLIER, **PLAIN, **options})))


@pytest.mark.parametrize(("configured", "added"), [("trailing", {}), ("leading", {"timestep_spacing": "trailing"})])
def test_the_spacing_counts_where_the_base_has_another_one(
    tmp_path: Path, configured: str, added: dict[str, str]
) -> None:
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps({"timestep_spacing": configured}))
    assert inputs(tmp_path) == {**PLAIN, **added}
    assert inputs(tmp_path, timestep_spacing="base") == PLAIN
    # A base on a hub is not looked up.
    assert inputs("some/model") == {**PLAIN, "timestep_spacing": "trailing"}


def test_a_lora_counts_by_its_content_and_compiling_does_not(tmp_path: Path) -> None:
    lora = tmp_path / "lora.safetensors"
    found = []
    for content in ("one", "other"):
        lora.write_text(content)
        found.append(inputs("lumen-tiny", lora=[str(lora)])["lora"])
    assert found[0] != found[1]
    assert inputs("lumen-tiny", lora=["some/lora"])["lora"] == [{"name": "some/lora"}]
    assert inputs("lumen-tiny", compile="default") == inputs("lumen-tiny")
