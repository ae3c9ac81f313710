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


# A recipe's text or overrides of one, and the whole message or its beginning.
KINDS = "choose from ade20k, ade20k-full, bdd100k, bdd100k-100k, camvid, camvid-32, cityscapes, "
GROUPS = "choose from backbone, cluster, dataset, downstream, generator, pretrain"
RECIPES = [
    (
        "defaults: [{dataset: citiscapes}]",
        "its defaults list names 'dataset/citiscapes', which does not exist: did you",
    ),
    ("defaults: [{dataset: moon}]", f"its defaults list names 'dataset/moon', which does not exist: {KINDS}"),
    ("defaults: [{dataset@x: moon}]", f"its defaults list names 'dataset/moon', which does not exist: {KINDS}"),
    ("defaults: [{datasett: camvid}]", "its defaults list names the group 'datasett', which does not exist: did you"),
    ("defaults: [{moon: camvid}]", f"its defaults list names the group 'moon', which does not exist: {GROUPS}"),
    ("defaults: [dataset]", f"its defaults list names 'dataset' without a choice: write '- dataset: NAME'; {KINDS}"),
    (
        "defaults: [quickstrat]",
        "its defaults list names 'quickstrat', which does not exist: did you mean 'quickstart'",
    ),
    (
        "defaults: [quickstart, override datasett: camvid]",
        "its defaults list overrides 'datasett', which no earlier entry chooses: did you mean 'dataset'? " + GROUPS,
    ),
    (
        "defaults: [quickstart, dataset: camvid]",
        "its defaults list chooses dataset twice: write '- override dataset: camvid' for the second",
    ),
    ("defaults: [quickstart, _self_, _self_]", "its defaults list names _self_ twice"),
    ("defaults: [mine]", "it includes itself, through its defaults list"),
    ("defaults: quickstart", "its defaults list cannot be read: an entry is '- GROUP: NAME', '- RECIPE' or '- _self_'"),
    ("defaults: [{dataset: 3}]", "its defaults list cannot be read: an entry is "),
    ("defaults: [[quickstart]]", "its defaults list cannot be read: an entry is "),
    ("defaults: [{dataset: camvid, backbone: dinov2-small}]", "its defaults list cannot be read: an entry is "),
    ("defaults: [{dataset: '${x}'}]", "its defaults list refers to ${x}, which is not set"),
    ("defaults: [quickstart, _self_]\ngenerate: [1]", "a key has a list in one file and a section of keys in another"),
    ("defaults: [quickstart, _self_]\nname: ${x}", "name: it refers to the key 'x', which does not exist"),
    ("defaults: [quickstart, _self_]\nname: ${oc.env:UNSET_9}", "name: environment variable 'UNSET_9' not found"),
    ("defaults: [quickstart, _self_]\nname: ${x", "name: '${x' does not read as a reference; write \\${ where ${"),
    ("name: mine\nworkspace: ???", "workspace is ???: give it a value"),
    ("generate: {ks: [1,}", "line 1, column 19: expected the node content, but found '}'"),
    ("name: a\nname: b", "line 2, column 1: found duplicate key name"),
    ("- a", "it must hold keys and values, such as 'name: mine'"),
]


@pytest.mark.parametrize(("text", "message"), RECIPES, ids=[text for text, _ in RECIPES])
def test_a_mistake_in_a_recipe_is_answered_in_our_words(text: str, message: str, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(text + "\n")
    with pytest.raises(UserError) as error:
        load_config(str(recipe))
    found = str(error.value)
    assert found.startswith(f"mine.yaml: {message}")
    assert "\n" not in found
    assert [word for word in JARGON if word in found.lower()] == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset=camvidd", "dataset=camvidd: did you mean 'camvid'? " + KINDS),
        ("+dataset=camvidd", "dataset=camvidd: did you mean 'camvid'? " + KINDS),
        ("dataset@dataset=camvidd", "dataset@dataset=camvidd: did you mean 'camvid'? " + KINDS),
        ("dataset=", "dataset=: " + KINDS),
        ("dataset=[camvid,coco]", "dataset=[camvid,coco]: did you mean 'camvid'? " + KINDS),
        ("clusterr=gpu", "unknown key 'clusterr': did you mean 'cluster'? the keys are adapt, backbone"),
        ("pretrain=lumen-tiny", "unknown key 'pretrain': the keys are adapt"),
        ("hydra.run.dir=x", "unknown key 'hydra': the keys are adapt"),
        ("generate.ks.x=3", "unknown key 'generate.ks.x': generate.ks is a list, set as generate.ks=[a, b]"),
        ("generate.ks.9=3", "quickstart.yaml: generate.ks.9=3: this entry does not exist; give the whole value"),
        ("backbone.name=x?layer=a", "backbone.name: backbone 'x?layer=a': layer: Input should be a valid integer"),
        ("backbone.name=[x]", "backbone.name=['x']: list should have at least 2 items"),
        ("generate=3", "generate=3: expected a section of keys and values"),
        ("~datasett", "quickstart.yaml: ~datasett: the recipe has no datasett to remove"),
        ("~dataset=coco", "quickstart.yaml: ~dataset=coco: the recipe has no dataset=coco to remove"),
        ("~seed=3", "quickstart.yaml: ~seed=3: seed is 0; write ~seed to remove it"),
        ("generate.variants=${x}", "quickstart.yaml: generate.variants: it refers to the key 'x', which does not"),
    ],
)
def test_a_mistake_in_an_override_is_answered_in_our_words(override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_config("quickstart", [override])
    assert str(error.value).startswith(message)
    rest = str(error.value).removeprefix(message)
    assert [word for word in JARGON if word in rest.lower()] == []


def test_a_group_is_replaced_only_where_the_recipe_chooses_one(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\n")
    with pytest.raises(UserError, match=r"^mine\.yaml: its defaults list chooses no dataset to replace: write \+"):
        load_config(str(recipe), ["dataset=camvid"])


def test_folders_beside_a_recipe_are_no_groups(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("defaults: [quickstart, _self_]\n")
    assert load_config(str(recipe), [f"workspace={tmp_path / 'space'}"]).workspace == tmp_path / "space"


def test_a_file_that_a_recipe_names_is_named_where_it_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "bad.yaml").write_text("kind: [a\n")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("defaults: [quickstart, override dataset: bad, _self_]\n")
    with pytest.raises(UserError, match=r"^mine\.yaml: line 2, column 1 of dataset/bad\.yaml: expected"):
        load_config(str(recipe))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("quikstart", "no recipe 'quikstart': did you mean 'quickstart'? choose from ade20k, bdd100k, camvid, "),
        ("pretrain/lumentiny", "no recipe 'pretrain/lumentiny': did you mean 'pretrain/lumen-tiny'? choose from"),
        ("", "{} is a folder without config.yaml: give a workspace that lumen run has written, the path"),
    ],
)
def test_a_recipe_that_does_not_exist(recipe: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load_config(recipe or str(tmp_path))
    assert str(error.value).startswith(message.format(tmp_path))


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
