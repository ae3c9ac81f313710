"""How image files are decoded is stated once, and holds for plan, run, retry and inspect alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.config.compose import load_config
from pipeline.stages.job import Job
from pipeline.stages.shard import ShardStep
from pipeline.store import SampleReader, Store
from pipeline.workflow.kept_config import read_config
from pipeline.workflow.run import retry, run
from pipeline.workflow.selection import Selection

SIDE = 64
LARGER = 96


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images of 12 bits in files of 16, one of which is larger than the others."""
    rng = np.random.default_rng(0)
    (tmp_path / "data" / "images" / "train").mkdir(parents=True)
    for number in range(4):
        shape = (LARGER if number == 3 else SIDE, SIDE)
        values = rng.integers(0, 4096, shape).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / "data" / "images" / "train" / f"{number}.png")
    return tmp_path / "data"


def settings(root: Path, *overrides: str) -> list[str]:
    named = [f"dataset.root={root}", f"workspace={root.parent / 'work'}", "cluster.executor=serial"]
    return [*named, "dataset.splits=[train]", "geometry.height=32", "geometry.width=32", *overrides]


def shard(root: Path, *overrides: str) -> Store:
    run(load_config("unlabelled", settings(root, *overrides)), Selection(until="shard"), lambda _: None)
    return Store.open(str(root.parent / "work" / "real"))


def test_a_bit_depth_is_part_of_the_fingerprint_where_it_is_stated_alone(root: Path) -> None:
    def inputs(*overrides: str) -> dict[str, object]:
        config = load_config("unlabelled", settings(root, *overrides))
        return dict(Job(config).step(ShardStep).plan().manifest.inputs)

    plain = inputs()
    assert inputs("dataset.max_pixels=5000") == plain
    assert inputs("dataset.bit_depth=12") == {**plain, "bit_depth": 12}


def test_an_image_that_was_too_large_is_read_once_the_limit_is_raised(root: Path) -> None:
    store = shard(root, "dataset.bit_depth=12", "dataset.max_pixels=5000")
    [row] = store.quarantine().to_pylist()
    assert row["reason"].startswith("bomb-sized image: ") and "dataset.max_pixels=5000" in row["reason"]
    assert all(SampleReader(store).read(key).image.mean() > 100 for key in SampleReader(store).keys)  # type: ignore[union-attr]
    shard(root, "dataset.bit_depth=12", f"dataset.max_pixels={LARGER * SIDE}")
    assert retry(read_config(root.parent / "work"), "shard", lambda _: None).failures == 0
    assert len(SampleReader(Store.open(store.url)).keys) == 4


def test_inspect_takes_the_same_settings(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["inspect", "folder", str(root)]) == 1
    assert "4 x doubtful bit depth, such as" in capsys.readouterr().out
    assert guarded(["inspect", "folder", str(root), "dataset.bit_depth=12"]) == 0
    assert guarded(["inspect", "folder", str(root), "dataset.bit_depth=12", "dataset.max_pixels=5000"]) == 1
    assert "1 x bomb-sized image, such as" in capsys.readouterr().out
    assert guarded(["inspect", "folder", str(root), "dataset.bit_depth=3"]) == 2
    assert "bit_depth" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["dataset.bit_depth=7", "dataset.bit_depth=17", "dataset.max_pixels=0"])
def test_settings_that_make_no_sense_are_refused(root: Path, wrong: str) -> None:
    with pytest.raises(UserError, match=wrong.partition("=")[0].replace(".", r"\.")):
        load_config("unlabelled", settings(root, wrong))
