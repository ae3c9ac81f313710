"""A recipe composes, and every mistake in it is reported in one line with key, value and remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import UserError
from downstream.options import mix_weights
from pipeline.config import Config
from pipeline.config.compose import load_config, recipes
from pipeline.datasets import kinds
from pipeline.stages.registry import stage_names

MISTAKES = [
    (["geometry.heigth=96"], ["unknown key", "'geometry.heigth'", "'geometry.height'"]),
    (["nonsense=1"], ["unknown key", "'nonsense'", "generate"]),
    (["dataset.render.trains=3"], ["'dataset.render.trains'", "'dataset.render.train'"]),
    (["cluster.stages.genrate.workers=2"], ["'cluster.stages.genrate'", "'generate'"]),
    (["geometry.mode=stretch"], ["geometry.mode='stretch'", "'letterbox'"]),
    (["geometry.mode=tiles"], ["geometry", "needs tiles={rows: 2"]),
    (["geometry.tiles={rows: 2, columns: 2}"], ["geometry", "'resize' takes no tiles"]),
    (["geometry={mode: tiles, tiles: {rows: 2, columns: 2, overlap: 1}}"], ["geometry.tiles.overlap=1", "0.9"]),
    (["geometry.smallest=0.4"], ["geometry", "'random_crop'"]),
    (["geometry.height=100"], ["geometry.height=100", "multiple of 8"]),
    (["generate.ks=[1,40]"], ["generate.ks", "40", "layout.k_max"]),
    (["generate.ks=5"], ["generate.ks='5'", "list", "'all'"]),
    (["generate.ks=[5,5]"], ["generate.ks", "twice"]),
    (["generate.variants=two"], ["generate.variants='two'", "integer"]),
    (["generate.splits=[test]"], ["generate.splits", "'test'", "val"]),
    (["evaluate.split=train"], ["evaluate.split", "held-out"]),
    (["downstream.mixes=[real,photos]"], ["'photos'", "'real'", "'synthetic'"]),
    (["shard.image_format=bmp"], ["shard.image_format='bmp'", "'png'"]),
    (["dataset=places"], ["places", "camvid", "cityscapes", "rendered"]),
    (["dataset=camvid"], ["dataset.root: ", "folder"]),
    (["dataset.taxonomy=moon"], ["dataset.taxonomy", "'moon'", "ade20k", "cityscapes"]),
    (["dataset.limit.test=3"], ["limit", "test", "~dataset.limit takes every image"]),
    (["generator.adapter=null"], ["layout.basis", "own"]),
    (["cluster.stages.generate.workers=0"], ["cluster.stages.generate.workers=0", "'auto'"]),
    (["generator.base=/models/nowhere"], ["generator.base", "/models/nowhere", "no folder"]),
    (["layout.basis=own", "adapt.steps=0"], ["layout.basis", "adapt.steps"]),
    (["generate.splits=[train]"], ["generate.splits", "'val'", "evaluate.split"]),
    (["generate.splits=[val]"], ["generate.splits", "'train'", "mixes"]),
    (["dataset.splits=[train,val,test]"], ["rendered", "test"]),
    (["downstream.scale_range=[2,0.5]"], ["downstream.scale_range", "smaller"]),
    (["evaluate.split=test"], ["evaluate.split", "'test'", "['train', 'val']", "null"]),
    (["dataset.folder={images: /data}"], ["dataset.folder.images", "'/data'", "below the dataset's root"]),
    (["dataset.folder={masks: '{split}/{id}'}"], ["dataset.folder.masks", "'{split}/{id}'", "at most one {split}"]),
    (["dataset.folder={}"], ["'rendered'", "folder section"]),
    (["seed"], ["'seed'", "key=value"]),
    (["generate={"], ["{"]),
    (["workspace=s3://bucket/run"], ["workspace", "s3://bucket/run", "folder"]),
]


@pytest.mark.parametrize(("overrides", "parts"), MISTAKES, ids=lambda value: str(value[0]))
def test_mistake_is_reported_in_one_line(overrides: list[str], parts: list[str]) -> None:
    with pytest.raises(UserError) as error:
        load_config("quickstart", overrides)
    message = str(error.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize("wrong", ["geometry.heigth=96", "dataset.rot=/data", "cluster.stages.genrate.workers=2"])
def test_an_unknown_key_is_reported_before_missing_ones(wrong: str) -> None:
    key = wrong.partition("=")[0].removesuffix(".workers")
    with pytest.raises(UserError, match=rf"^unknown key '{key}': .*; dataset\.root: "):
        load_config("camvid", [wrong])


def test_every_recipe_composes(tmp_path: Path) -> None:
    assert {"quickstart", "camvid", "cityscapes"} <= set(recipes())
    for name in recipes():
        overrides = [] if name == "quickstart" else [f"dataset.root={tmp_path}"]
        assert load_config(name, overrides).name == name


@pytest.mark.parametrize("kind", kinds())
def test_the_recipe_for_ones_own_takes_a_set_of_any_kind_whole(kind: str, tmp_path: Path) -> None:
    root = [] if kind == "rendered" else [f"dataset.root={tmp_path}"]
    dataset = load_config("own", [f"dataset={kind}", *root]).dataset
    assert (dataset.kind, dataset.limit, dataset.sampling) == (kind, {}, None)


def test_every_key_is_described() -> None:
    def undescribed(section: type, prefix: str = "") -> list[str]:
        return [
            prefix + name
            for name, field in section.model_fields.items()  # type: ignore[attr-defined]
            if not field.description and not hasattr(field.annotation, "model_fields")
        ]

    sections = [field.annotation for field in Config.model_fields.values() if hasattr(field.annotation, "model_fields")]
    assert [name for section in sections for name in undescribed(section, f"{section.__name__}.")] == []


def test_recipe_of_ones_own_builds_on_another(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("defaults:\n  - quickstart\n  - _self_\nname: mine\ngenerate: {variants: 3}\n")
    config = load_config(str(recipe), ["dataset=camvid", "dataset.root=~/some data/a=b"])
    assert (config.name, config.generate.variants, config.generate.ks) == ("mine", 3, (1, 5, 20))
    assert config.dataset.root == str(Path("~/some data/a=b").expanduser())


@given(st.floats(0.01, 100).map(lambda x: round(x, 2)), st.floats(0.01, 100).map(lambda x: round(x, 2)))
def test_mix_expressions_say_their_weights(real: float, synthetic: float) -> None:
    assert mix_weights(f"{real}*real + {synthetic}*synthetic") == {"real": real, "synthetic": synthetic}


@pytest.mark.parametrize("wrong", ["", "real+real", "0*real", "real-synthetic", "2real", "real+"])
def test_broken_mix_expressions_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no mix"):
        mix_weights(wrong)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["camvid", "dataset.root=/no/such/folder"], "/no/such/folder"),
        (["quickstart", "geometry.heigth=96"], "geometry.heigth"),
        (["quickstart", "generate.ks=[1,40]"], "layout.k_max"),
        (["quickstart", "geometry.height=100"], "multiple of 8"),
    ],
)
def test_command_line_reports_a_mistake_in_one_line_and_exits_with_2(
    arguments: list[str], part: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "run", *arguments]
    options = ["--workspace", str(tmp_path / "space"), "--executor", "serial"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert part in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "space").exists()


@pytest.mark.parametrize("recipe", ["quickstart", "unlabelled"])
def test_a_configuration_reads_again_as_it_was_kept(recipe: str, tmp_path: Path) -> None:
    config = load_config(recipe, ["dataset.root=/data"] if recipe == "unlabelled" else [])
    kept = tmp_path / "kept.yaml"
    kept.write_text(json.dumps(config.model_dump(mode="json")))
    assert load_config(str(kept)) == config


def test_entry_of_a_stage_adds_to_the_default_resources() -> None:
    overrides = ["cluster.default={num_gpus: 1, threads: 2}", "cluster.stages.generate.batch_size=4"]
    config = load_config("quickstart", overrides)
    resources = config.cluster.resources("generate")
    assert (resources.num_gpus, resources.threads, resources.batch_size) == (1, 2, 4)
    assert config.cluster.resources("extract").batch_size == config.cluster.default.batch_size
    # The kept configuration resolves to the same.
    assert type(config).model_validate(config.model_dump(mode="json")).cluster == config.cluster
    # A value that is set counts, even where it is the general default.
    unset = load_config("quickstart", [*overrides, "cluster.stages.generate.num_gpus=0"])
    assert unset.cluster.resources("generate").num_gpus == 0


def test_every_stage_with_a_model_has_a_gpu_in_the_cluster_of_gpus() -> None:
    cluster = load_config("quickstart", ["cluster=gpu"]).cluster
    assert {stage for stage in stage_names() if not cluster.resources(stage).num_gpus} == {"shard", "report"}
