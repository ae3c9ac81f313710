"""Where curation leaves nothing, plan and run say what it dropped, why, and which keys to set."""

from __future__ import annotations

from pathlib import Path

import pytest

from augment.errors import UserError
from pipeline.config import Config
from pipeline.config.compose import load_config
from pipeline.stages.compare import CompareStep
from pipeline.stages.curate import CurateStep
from pipeline.stages.job import Job
from pipeline.stages.tools import Tools
from pipeline.store import Failure, Manifest, Sample, Store
from pipeline.workspace.workspace import Workspace
from tests.pipeline.checks.test_labels import folder


@pytest.fixture
def config(tmp_path: Path) -> Config:
    root = folder(tmp_path / "data", "sky\nroad\n", {"train": [[0, 1]], "val": [[0, 1]]})
    return load_config("own", [f"dataset.root={root}", f"workspace={tmp_path / 'space'}", "curate.min_reliable=0.75"])


def curated(config: Config) -> Store:
    return Store.create(CurateStep.url_in(Workspace.of(config)), Manifest("curated", None, {}, {}))


def compare(config: Config) -> CompareStep:
    return Job(config).step(CompareStep)


def test_nothing_left_is_refused_with_what_was_dropped_and_the_keys_to_set(config: Config, tmp_path: Path) -> None:
    store = curated(config)
    store.write_shard("train-k05-v00-000000", [], dropped=["unreliable: 0.10 of its pixels are believed"] * 3)
    failure = Failure("a", "curate", "unreadable sample: a")
    store.write_shard("train-k05-v00-000001", [], [failure], dropped=["unlabelled: no pixel has a class"])
    expected = (
        r"curate has kept none of 5 synthetic training images for the mixes: 4 dropped \(3 x unreliable, "
        r"1 x unlabelled\) and 1 quarantined \(1 x unreadable sample\)\. .*curate\.min_reliable=0\.75.*"
        r"curate\.better_than=0\.75.*"
        r"curate\.tolerance than 1, with lumen run .*--redo curate; .*judge\.iterations=1000, with --redo judge"
    )
    # Once curate is done, plan and the start of a run look at this; in the run that curates, it comes before training.
    with pytest.raises(UserError, match=expected):
        compare(config).check([compare(config)])
    with pytest.raises(UserError, match=expected) as error:
        compare(config).build(tmp_path / "table.parquet", Tools(config, print), {})
    assert "\n" not in str(error.value)


def test_what_is_left_or_not_needed_is_not_refused(config: Config) -> None:
    store = curated(config)
    store.write_shard("train-k05-v00-000000", [], dropped=["unreliable: 0.10 of its pixels are believed"])
    real = config.model_copy(update={"downstream": config.downstream.model_copy(update={"mixes": ("real",)})})
    compare(real).require_curated()
    store.write_shard("train-k05-v00-000001", [Sample("a")])
    compare(config).require_curated()
