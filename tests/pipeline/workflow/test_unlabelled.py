"""Images without labels go the whole way to synthetic ones, and are refused only by what needs labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.config import Config
from pipeline.config.compose import load_config
from pipeline.stages.images import RealImages
from pipeline.stages.step import StageName
from pipeline.store import SampleReader, Store
from pipeline.workflow.kept_config import read_config
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection, steps_of
from pipeline.workflow.verify import verify
from pipeline.workspace.workspace import Workspace
from tests.pipeline.datasets.trees import random_image, save
from tests.pipeline.progress import progress

MEASURED = "evaluate.split=val"


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A plain folder of three training and two validation images; their masks lie aside."""
    root, rng = tmp_path / "photographs", np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2)):
        for number in range(count):
            save(root / "images" / split / f"{number}.png", random_image(rng, 32, 64))
            save(root / "aside" / split / f"{number}.png", rng.integers(0, 2, (32, 64), np.uint8))
    return root


@pytest.fixture
def plain(small_base: Path, photographs: Path, tmp_path: Path) -> Callable[..., Config]:
    """The configuration of a small run on that folder."""

    def make(*overrides: str) -> Config:
        settings = (
            f"dataset.root={photographs}",
            "dataset.splits=[train,val]",
            "geometry={height: 32, width: 64}",
            "layout={k_max: 4, basis: adapter}",
            f"generator.base={small_base}",
            f"generator.adapter={small_base / 'adapter'}",
            "generator.num_steps=1",
            "generator.precision=fp32",
            "generate={ks: [4], variants: 1, splits: [train,val]}",
            "shard.samples_per_shard=2",
            "cluster.executor=serial",
            f"workspace={tmp_path / 'space'}",
        )
        return load_config("unlabelled", [*settings, *overrides])

    return make


def test_a_set_without_labels_runs_to_its_end_where_nothing_is_to_be_measured(
    plain: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = plain()
    assert [step.name for step in steps_of(config)] == ["shard", "fit", "extract", "adapt", "generate"]
    run(config, Selection(), print)
    space = tmp_path / "space"
    for name in ("real", "synthetic"):
        store = Store.open(str(space / name))
        assert store.manifest.taxonomy is None
        reader = SampleReader(store)
        assert all(reader.read(key).label is None for key in reader.keys)
    assert len(reader) == 5
    assert verify(str(space)).faults == []
    assert all(row.units == row.units_done for row in progress(steps_of(read_config(space))))
    capsys.readouterr()
    assert guarded(["report", str(space)]) == 0
    page = (space / "report" / "index.html").read_text()
    assert "no held-out split" in page and "Not made yet" not in page


def test_ks_by_classes_are_refused_for_a_set_without_labels_in_words_that_fit_it(
    plain: Callable[..., Config],
) -> None:
    with pytest.raises(UserError, match=r"^generate.ks=auto: the dataset has no labels to choose by: give the numbers"):
        run(plain("generate.ks=auto"), Selection(), print)


def test_only_stages_that_need_labels_refuse_a_set_without(plain: Callable[..., Config], tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        run(plain(MEASURED), Selection(), print)
    message = str(error.value)
    assert "3 of 3 images of 'train' have no label, such as images/train/" in message
    assert "judge, curate, compare, evaluate need them" in message
    assert "--until generate" in message and "\n" not in message
    assert not (tmp_path / "space").exists()
    run(plain(MEASURED), Selection(until="shard"), print)
    run(plain(MEASURED), Selection(until="shard", redo="shard"), print)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([MEASURED], "3 of 3 images of 'train' have no label"),
        (["dataset.sampling={per_class: 1}"], "dataset.sampling goes by class, and none of the 3 images of 'train'"),
        (["generate.sampling={per_class: 1, splits: [val]}"], "none of the 2 images of 'val' has a label"),
    ],
    ids=["judge", "dataset", "sources"],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_what_needs_labels_is_refused_before_anything_is_written(
    plain: Callable[..., Config],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    overrides: list[str],
    expected: str,
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(OmegaConf.to_yaml(OmegaConf.create(plain(*overrides).model_dump(mode="json"))))
    assert guarded([command, str(recipe)]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1
    assert not (tmp_path / "space").exists()


def test_other_images_are_reported_by_their_number(plain: Callable[..., Config], photographs: Path) -> None:
    run(plain(), Selection(until="shard"), print)
    shutil.copy(photographs / "images" / "train" / "0.png", photographs / "images" / "train" / "3.png")
    with pytest.raises(UserError, match=r"the dataset's list of images: .*holds 5 samples, 6 are requested\)"):
        run(plain(), Selection(until="shard"), print)


@pytest.mark.parametrize("stage", ["judge", "report"])
def test_a_stage_that_is_left_out_cannot_be_requested(plain: Callable[..., Config], stage: StageName) -> None:
    for selection in (Selection(until=stage), Selection(only=stage)):
        with pytest.raises(UserError, match=rf"^{stage} is not a stage of this run: evaluate\.split is null"):
            run(plain(), selection, print)


@pytest.mark.parametrize(
    ("sampling", "refused"),
    [
        ("{keys: [%s]}", False),
        ("{per_class: 1}", False),
        ("{per_class: 1, splits: [val]}", True),
        ("{fraction: 1}", True),
        ("null", True),
    ],
)
def test_labels_are_requested_only_of_the_images_that_sampling_takes(
    plain: Callable[..., Config], photographs: Path, sampling: str, refused: bool
) -> None:
    (photographs / "aside").rename(photographs / "masks")
    (photographs / "classes.txt").write_text("even\nodd\n")
    (photographs / "masks" / "train" / "0.png").unlink()
    part = "dataset.folder={partly_labelled: true}"
    whole = RealImages(plain(part), Workspace.of(plain(part)))
    [key] = [record.key for record in whole.candidates["train"] if record.image.endswith("1.png")]
    config = plain(part, f"dataset.sampling={sampling.replace('%s', key)}")
    data = RealImages(config, Workspace.of(config))
    if refused:
        with pytest.raises(UserError, match=r"1 of 3 images of 'train' have no label"):
            data.require_labels(("train", "val"), ("judge",))
    else:
        data.require_labels(("train", "val"), ("judge",))


@pytest.mark.parametrize("bare", ["train", "val", "one image"])
def test_a_set_of_which_a_part_is_labelled_keeps_both(
    plain: Callable[..., Config], photographs: Path, tmp_path: Path, bare: str
) -> None:
    (photographs / "aside").rename(photographs / "masks")
    (photographs / "classes.txt").write_text("even\nodd\n")
    if bare == "one image":
        sorted((photographs / "masks" / "train").iterdir())[0].unlink()
    else:
        shutil.rmtree(photographs / "masks" / bare)
    part = "dataset.folder={partly_labelled: true}"
    with pytest.raises(UserError, match=r"have no label, such as .*--until generate"):
        run(plain(part, MEASURED), Selection(), print)
    run(plain(part, MEASURED), Selection(until="generate"), print)
    space = tmp_path / "space"
    real, synthetic = (SampleReader(Store.open(str(space / name))) for name in ("real", "synthetic"))
    without = [key for key in real.keys if real.read(key).label is None]
    assert len(without) == {"train": 3, "val": 2, "one image": 1}[bare]
    for key in synthetic.keys:
        sample = synthetic.read(key)
        assert (sample.label is None) == (sample.metadata["source_key"] in without)
    assert verify(str(space)).faults == []


def test_plan_and_inspect_tell_what_is_unlabelled_by_intent(
    plain: Callable[..., Config], photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photographs / "aside").rename(photographs / "masks")
    (photographs / "classes.txt").write_text("even\nodd\n")
    (photographs / "masks" / "val").rename(photographs / "aside")
    (photographs / "images" / "val").rename(photographs / "images" / "extra")
    assert guarded(["inspect", "folder", str(photographs)]) == 0
    assert "5 samples (extra 2 unlabelled, train 3)" in capsys.readouterr().out
    config = plain("dataset.splits=[train,extra]", "generate.splits=[extra]")
    OmegaConf.save(OmegaConf.create(config.model_dump(mode="json")), recipe := photographs.parent / "recipe.yaml")
    assert guarded(["plan", str(recipe)]) == 0
    assert "unlabelled: 2 of 2 images of extra" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    "asked", ["generate.edit={blend: {}}", "generate.k_by_class={car: 1}", "generate.strength_by_class={car: 2}"]
)
def test_edits_and_ks_by_class_are_refused_before_anything_is_written(
    plain: Callable[..., Config], tmp_path: Path, asked: str
) -> None:
    with pytest.raises(UserError, match=r"goes by the labels of the images, and the dataset has none: leave it out"):
        run(plain(asked), Selection(until="generate"), print)
    assert not (tmp_path / "space" / "real").exists()
