"""Mixes with more than real and curated images: what they read, where their results are, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.config import Config
from pipeline.stages.arm_checks import remarks_on
from pipeline.stages.compare import CompareStep
from pipeline.stages.job import Job
from pipeline.stages.mix_data import stages_of
from pipeline.stages.trainings import folder_name
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection

Configure = Callable[..., Config]
FAST = ("downstream.iterations=2", "judge.iterations=2", "downstream.decoder_channels=8", "downstream.batch_size=2")


def test_a_run_trains_every_kind_of_arm_and_repeats_none(copied: Path, configure: Configure) -> None:
    mixes = ["real", "real[augmented,50%]", "synthetic[k=4,raw] > real", "real[50%]+synthetic[pseudo]"]
    settings = (*FAST, f"downstream.mixes={json.dumps(mixes)}", "downstream.pseudo_confidence=0.01")
    lines: list[str] = []
    run(configure(copied, *settings), Selection(until="compare"), lines.append)
    table = pq.read_table(copied / "comparison.parquet").to_pylist()
    assert [row["mix"] for row in table] == mixes
    assert all(re.fullmatch(r"[A-Za-z0-9.+=_-]+", path.name) for path in (copied / "runs").iterdir())
    # The teacher of the half has learned from the same half, and not from all labels as the judge has.
    (request,) = (copied / "runs").glob("real_50pct-seed0-*/request.json")
    assert json.loads(request.read_text())["mix"]["expression"] == "real[50%]"
    # No mix takes curated images.
    assert not (copied / "curated").exists() or "curate" not in CompareStep(Job(configure(copied, *settings))).reads
    assert "without a baseline" in " ".join(remarks_on(configure(copied, *settings)))
    # Two iterations teach nothing.
    (unfit,) = [line for line in lines if "predicts labels" in line]
    assert unfit.startswith("compare: real[50%]+synthetic[pseudo]: ") and "is unfit" in unfit
    assert unfit in CompareStep(Job(configure(copied, *settings))).unfit_teachers()

    before = {path: path.stat().st_mtime_ns for path in (copied / "runs").rglob("result.json")}
    run(configure(copied, *settings), Selection(until="compare"), lambda _: None)
    assert {path: path.stat().st_mtime_ns for path in (copied / "runs").rglob("result.json")} == before


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], ""),
        (["generate.k_by_judge=0.5"], "generate.k_by_judge goes by"),
        (
            ["generate.ks=auto", "generate.variants=2", "generate.variants_by_hardness={fewest: 1, most: 4}"],
            "generate.variants_by_hardness and generate.ks=auto go by",
        ),
        (["generate.sampling={per_class: 2}"], "generate.sampling goes by"),
        (["generate.sampling={fraction: 0.5}"], ""),
    ],
)
def test_what_goes_by_all_labels_is_said_of_an_arm_with_a_share_of_them(
    configure: Configure, tmp_path: Path, options: list[str], named: str
) -> None:
    for mix, is_share in (("real[10%]+synthetic[raw]", True), ("real+synthetic[raw]", False)):
        config = configure(tmp_path, *options, f"downstream.mixes={json.dumps(['real', 'real[10%]', mix])}")
        said = [line for line in remarks_on(config) if "the labels of all training images" in line]
        assert len(said) == (1 if named and is_share else 0)
        assert all(line.startswith(f"compare: {mix}: {named}") for line in said)


@pytest.mark.parametrize(
    ("mix", "said"),
    [
        ("synthetic[k=3]", "no synthetic image has k=3: there is 1, 4"),
        ("real[wether=rain]", "real images have no 'wether': did you mean 'weather'"),
        ("synthetic[domain=night]", "synthetic images have no 'domain': there is"),
        ("synthetic[weather=snowy]", "no synthetic image has weather=snowy: did you mean 'snow'"),
    ],
)
def test_filters_that_no_image_passes_are_refused_by_plan(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str], mix: str, said: str
) -> None:
    recipe = tmp_path / "recipe.yaml"
    config = configure(
        tmp_path / "new",
        f"downstream.mixes={json.dumps(['real', mix])}",
        "generate.ks=[1,4]",
        "generate.prompts.domains={weather: [rain, snow]}",
    )
    recipe.write_text(config.model_dump_json())
    assert guarded(["plan", str(recipe)]) == 2
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1


def test_a_broken_augmentation_is_refused_only_where_a_mix_uses_it(configure: Configure, tmp_path: Path) -> None:
    broken = "downstream.augmentation=[{type: Blurr}]"
    unused, used = (
        configure(tmp_path / "new", broken, f"downstream.mixes=[{mix}]") for mix in ("real", "'real[augmented]'")
    )
    from pipeline.stages.arm_checks import require_augmentation_works

    require_augmentation_works(Job(unused))
    with pytest.raises(UserError, match="no transform 'Blurr'; did you mean 'Blur'"):
        require_augmentation_works(Job(used))


@pytest.mark.parametrize(
    ("mix", "stages"),
    [
        ("real[rare]", {"shard"}),
        ("real+synthetic[k=5]", {"shard", "curate"}),
        ("synthetic[raw]", {"shard", "generate"}),
        ("synthetic[pseudo] > synthetic", {"shard", "generate", "curate", "judge"}),
    ],
)
def test_a_mix_waits_for_the_stages_that_make_its_data(mix: str, stages: set[str]) -> None:
    assert stages_of(mix) == stages


def test_folders_of_todays_mixes_keep_their_names_and_others_are_safe() -> None:
    assert [folder_name(mix) for mix in ("real", "real+0.5*synthetic")] == ["real", "real+0.5xsynthetic"]
    names = [folder_name(mix) for mix in ("synthetic@30% > real[10%]", "synthetic[scene=a:b|c d/e]", "real[100%]")]
    assert names == ["synthetic_30pct_then_real_10pct", "synthetic_scene=a_b_c_d_e", "real"]
    assert len(folder_name(f"synthetic[{','.join(f'c{n}=value' for n in range(99))}]")) == 80
