"""``key=value`` on a command line: text is taken letter for letter, other values are read, mistakes take one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.config import Config
from pipeline.config.compose import load_config, settings_of
from pipeline.store import Store
from pipeline.workflow.kept_config import read_config, write_config
from pipeline.workspace.workspace import read_kept_config
from tests.pipeline.datasets.trees import random_image, save

# Whatever a folder's name can hold, signs of YAML, Hydra, OmegaConf and shells more often than others.
SIGNS = st.sampled_from(list("""'"[]{}()=#$,:;\\ ~+-&|*?!%@^`<>."""))
NAMES = st.text(
    st.one_of(SIGNS, st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/")), min_size=1, max_size=12
).filter(lambda name: name not in (".", ".."))
ODD = 'it\'s "a" [b] {c} (d)=e #f $g ${h} k,l ü日 m\\n ~ % * ? : :: !x'
FOLDER = ("dataset.folder.images={split} [i]/im$ages, #1", "dataset.folder.masks={split} [i]/ma='sks'")

# What a message must not speak of: the grammar of the library that reads overrides, and where it looks.
JARGON = ("hydra", "grammar", "token", "mismatched", "extraneous", "searchpath", "search path", "provider", "lexer")


@settings(max_examples=20)
@given(NAMES)
@example("null")
@example("[a, b]")
@example("'quoted'")
@example("${a.b}")
@example("\\${a}")
@example("1e3")
def test_text_is_taken_letter_for_letter(name: str) -> None:
    overrides = [
        f"dataset.root=/data/{name}",
        f"dataset.folder.mask_suffix={name}",
        f"generate.prompts.negative={name}",
    ]
    found = settings_of(overrides, Config)
    assert found["dataset"] == {"root": f"/data/{name}", "folder": {"mask_suffix": name}}
    assert found["generate"]["prompts"]["negative"] == name


@settings(max_examples=8)
@given(NAMES)
@example(ODD)
@example("a${b")
def test_a_run_finds_the_folders_again_that_it_was_given(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    workspace = tmp_path_factory.mktemp("space") / name.strip(".")
    stated = [f"dataset.root=/data/{name}", f"workspace={workspace}", f"stores=/stores/{name}"]
    config = load_config("own", stated)
    assert (config.dataset.root, config.stores) == (f"/data/{name}".rstrip("/"), f"/stores/{name}")
    write_config(config)
    assert read_config(workspace) == config
    assert read_kept_config(workspace / "config.yaml")["stores"] == f"/stores/{name}"


def test_values_that_are_no_text_are_read(tmp_path: Path) -> None:
    keys = tmp_path / "k=1 [2].txt"
    keys.write_text("train_a\n")
    stated = [
        f"dataset.root={tmp_path}",
        "dataset.limit={train: 10}",
        "dataset.limit.val=3",
        "generate.ks=[1,5]",
        "generate.variants=3",
        "generate.prompts.templates=['{caption}, in rain', \"a, b\"]",
        "curate.min_reliable=0.25",
        "downstream.photometric=false",
        "generator.adapter=null",
        "layout={k_max: 8, basis: own}",
        "adapt.steps=5",
        f"dataset.sampling.keys={keys}",
        "name=2024",
    ]
    config = load_config("own", stated)
    assert config.dataset.limit == {"train": 10, "val": 3}
    assert (config.generate.ks, config.generate.variants, config.curate.min_reliable) == ((1, 5), 3, 0.25)
    assert config.generate.prompts.templates == ("{caption}, in rain", "a, b")
    assert (config.downstream.photometric, config.generator.adapter, config.name) == (False, None, "2024")
    assert config.dataset.sampling is not None
    assert config.dataset.sampling.keys == keys
    listed = load_config("own", [*stated[:-2], "dataset.sampling.keys=[train_a, b.png]"])
    assert listed.dataset.sampling is not None
    assert listed.dataset.sampling.keys == ("train_a", "b.png")
    assert load_config("camvid", [f"dataset.root={tmp_path}", "~dataset.limit"]).dataset.limit == {}
    assert load_config("own", ["dataset=camvid", f"dataset.root={tmp_path}"]).dataset.kind == "camvid"


@settings(max_examples=25)
@given(st.sampled_from(["generate.ks", "dataset.limit", "seed", "dataset", "geometry", "evaluate.split"]), NAMES)
@example("dataset", "null")
@example("dataset", "camvidd")
@example("generate.ks", "[1,")
@example("dataset.limit", "{train: 1")
@example("seed", "1,2")
def test_what_does_not_read_is_answered_in_our_words(key: str, value: str) -> None:
    try:
        load_config("quickstart", [f"{key}={value}"])
    except UserError as error:
        assert "\n" not in str(error)
        assert key.partition(".")[0] in str(error)
        assert [word for word in JARGON if word in str(error).lower().replace(value.lower(), "")] == []


def test_a_group_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^dataset=camvidd: did you mean 'camvid'\? there are ade20k, .*, rendered$"):
        load_config("own", ["dataset=camvidd"])
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("defaults:\n  - dataset: citiscapes\n  - _self_\nname: mine\n")
    with pytest.raises(UserError, match=r"^mine\.yaml: .*dataset/citiscapes.*did you mean 'cityscapes'\? there are "):
        load_config(str(recipe))
    recipe.write_text("name: mine\n")
    with pytest.raises(UserError, match=r"mine\.yaml: the recipe chooses no dataset that dataset=camvid could replace"):
        load_config(str(recipe), ["dataset=camvid"])


def test_all_commands_read_a_folder_of_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, workspace = tmp_path / ODD, tmp_path / f"space {ODD}"
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for number in range(2):
            save(root / f"{split} [i]/im$ages, #1/{number} 'x'=1.png", random_image(rng, 32, 64))
            save(root / f"{split} [i]/ma='sks'/{number} 'x'=1.png", rng.integers(0, 2, (32, 64), dtype=np.uint8))
    (root / "classes.txt").write_text("road\nsky\n")
    assert guarded(["inspect", "folder", str(root), *FOLDER]) == 0
    assert "4 samples (train 2, val 2)\n  no file is missing" in capsys.readouterr().out
    run = ["own", f"dataset.root={root}", *FOLDER, "--workspace", str(workspace), "--executor", "serial"]
    assert guarded(["plan", *run, "--until", "shard", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["samples"] == 4
    assert guarded(["run", *run, "--until", "shard"]) == 0
    assert guarded(["status", str(workspace)]) == 0
    assert guarded(["inspect", str(workspace / "real")]) == 0
    assert Store.open(str(workspace / "real")).index().num_rows == 4
