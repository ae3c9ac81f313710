"""`lumen config` prints YAML that reads again as the same configuration, with a comment for each key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.cli import guarded
from pipeline.config import Config
from pipeline.config.commented import WIDTH, commented
from pipeline.config.compose import configs_dir, load, load_config, recipes
from pipeline.workflow.pretrain import PretrainConfig

PRETRAININGS = sorted(f"pretrain/{path.stem}" for path in configs_dir().glob("pretrain/*.yaml"))


def read_again(text: str, folder: Path, *overrides: str) -> Config:
    file = folder / "printed.yaml"
    file.write_text(text)
    return load_config(str(file), overrides)


@pytest.mark.parametrize("recipe", recipes())
def test_every_recipe_reads_again_as_it_is_printed(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [] if recipe == "quickstart" else [f"dataset.root={tmp_path}"]
    assert guarded(["config", recipe, *overrides, "generate.variants=7"]) == 0
    text = capsys.readouterr().out
    expected = load_config(recipe, [*overrides, "generate.variants=7"])
    assert read_again(text, tmp_path) == expected
    assert yaml.safe_load(text)["generate"]["variants"] == 7
    assert "# images for each source and k (integer; 1 to 100; default 1)\n  variants: 7\n" in text


@pytest.mark.parametrize("recipe", recipes())
def test_a_recipe_prints_without_its_dataset(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["config", recipe]) == 0
    overrides = [] if recipe == "quickstart" else [f"dataset.root={tmp_path}"]
    text = capsys.readouterr().out
    assert read_again(text, tmp_path, *overrides) == load_config(recipe, overrides)
    assert ("A dataset's root is not set" in text) == bool(overrides)


@pytest.mark.parametrize("recipe", PRETRAININGS)
def test_every_pretraining_reads_again_as_it_is_printed(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(["config", recipe]) == 0
    file = tmp_path / "printed.yaml"
    file.write_text(capsys.readouterr().out)
    overrides = [f"sources.camvid.dataset.root={tmp_path}"]
    assert load(str(file), overrides, PretrainConfig) == load(recipe, overrides, PretrainConfig)


def test_a_workspace_prints_its_own_configuration(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["config", str(copied)]) == 0
    assert read_again(capsys.readouterr().out, copied.parent) == load_config(str(copied))


TEXTS = st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20), min_size=1, max_size=12)
# Text that YAML or OmegaConf would read as something else where it is not quoted.
ODD = [
    "null",
    "1e3",
    "${HOME}",
    "\\${a}",
    "2024-01-01",
    "0x1F",
    "a: b # c",
    "- x",
    "it's\nnew",
    "yes",
    ".nan",
    "~",
    " x ",
]
ODD += [
    "1_000",
    "\x85\u2028\x00",
    "=",
    "[a]",
    "{b}",
    "*c",
    "&d",
    "!e",
    "%f",
    "@g",
    "`h",
    "'",
    '"',
    "1:30",
    "\\",
    "\t",
    "?",
]


@settings(max_examples=5)
@given(TEXTS)
@example(ODD)
def test_any_text_reads_again(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    config = load_config("quickstart")
    prompts = config.generate.prompts.model_copy(
        update={
            "negative": texts[0],
            "templates": tuple(texts),
            "domains": {text: (text, *texts) for text in texts},
        }
    )
    changed = config.model_copy(update={"generate": config.generate.model_copy(update={"prompts": prompts})})
    assert read_again(commented(changed), tmp_path_factory.mktemp("printed")) == changed


def test_long_lists_are_wrapped(tmp_path: Path) -> None:
    keys = ", ".join(f"train_{number:05d}" for number in range(300))
    config = load_config("own", [f"dataset.root={tmp_path}", f"dataset.sampling.keys=[{keys}]"])
    text = commented(config)
    assert read_again(text, tmp_path) == config
    lines = [line for line in text.splitlines() if "train_00" in line]
    assert len(lines) < 45
    assert max(map(len, text.splitlines())) < WIDTH + 20


def test_every_key_has_a_comment_with_its_type() -> None:
    text = commented(load_config("quickstart"))
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if re.match(r" *[a-z_]+:", line):
            assert lines[index - 1].lstrip().startswith("# "), line
    assert "  # numbers of layout components: few for diverse images" in text
    assert "(integer; 32 to 2048, a multiple of 8)\n  height: 96\n" in text
    assert "(section or null; keys rare_class, per_class, keys, fraction, splits" in text


def test_a_section_is_explained_once() -> None:
    text = commented(load_config("quickstart", ["cluster.stages={fit: {num_cpus: 2}, adapt: {num_cpus: 3}}"]))
    assert text.count("# CPU slots") == 1
    assert re.search(r"^    adapt: \{num_cpus: 3\.0, ", text, re.MULTILINE)
