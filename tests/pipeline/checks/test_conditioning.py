"""What a conditioning needs and does not get is refused in one line, by plan as by run, before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import Dinov2Config, Dinov2Model

from pipeline.config.compose import load_config
from pipeline.stages.generate import GenerateStep
from pipeline.stages.job import Job
from tests.pipeline.checks.refusal import refusal
from tests.pipeline.datasets.trees import random_image, save
from tests.pipeline.small_models import save_small_depth

NEW = ("generator.adapter=null", "adapt.steps=1", "generate.ks=all")
SMALL = ("geometry={height: 32, width: 64}", "cluster.executor=serial")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("conditioning=edges",), "'layout', 'canny', 'depth', 'label' or 'soft_edge'"),
        (
            ("conditioning=canny",),
            "generator.adapter=lumen-tiny reads neural layouts, not Canny edges: take conditioning=layout, or train",
        ),
        (("conditioning=depth", *NEW), "depth.model: conditioning=depth needs a hub id or folder"),
        (("conditioning=canny", *NEW, "adapt.steps=0"), "adapt.steps: a new adapter"),
        (("conditioning=canny", *NEW, "canny.low=300"), "canny: low = 300 is above high = 200"),
        (("conditioning=soft_edge", *NEW, "soft_edge.sigma=0"), "soft_edge.sigma=0"),
        (
            ("conditioning=canny", *NEW, "generate.ks=[1,64]"),
            "generate.ks=[1, 64]: the 64 channels of conditioning=canny have no order",
        ),
        (
            ("conditioning=label", *NEW, "layout.views=1"),
            "layout.views: photometric copies of an image have the same",
        ),
        (
            ("conditioning=label", *NEW, "adapt.view_share=0.5"),
            "adapt.view_share: photometric copies of an image have the same labels, which is all that "
            "conditioning=label reads; give adapt.view_share=0",
        ),
        (
            ("conditioning=canny", *NEW, "generate.ks=auto"),
            "generate.ks: 'auto' chooses among the components of neural",
        ),
        (
            ("conditioning=canny", *NEW, "generate.k_by_class={road: 1}"),
            "generate.k_by_class: it is for neural layouts",
        ),
        (("conditioning=label", *NEW, "generate.ks=[20]"), "the 19 channels of conditioning=label have no order"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_settings(
    command: str, overrides: tuple[str, ...], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"workspace={tmp_path / 'space'}", *SMALL, *overrides]
    assert expected in refusal(command, "quickstart", settings, capsys)
    assert not (tmp_path / "space").exists()


@pytest.mark.parametrize(
    ("kind", "ks", "expected"),
    [
        ("layout", "all", (20,)),
        ("layout", "[1,20]", (1, 20)),
        ("canny", "all", (64,)),
        ("canny", "[0,64]", (0, 64)),
        ("soft_edge", "all", (64,)),
        ("depth", "[16]", (16,)),
        ("label", "all", (19,)),
    ],
)
def test_all_is_as_many_channels_as_there_are(kind: str, ks: str, expected: tuple[int, ...]) -> None:
    settings = ["generator.adapter=null", "layout.basis=own", "depth.model=owner/model", f"generate.ks={ks}"]
    job = Job(load_config("quickstart", [f"conditioning={kind}", *settings]))
    assert job.step(GenerateStep).ks == expected


def other_kind(folder: Path) -> None:
    Dinov2Model(Dinov2Config(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)).save_pretrained(folder)


def no_processor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


def other_processor(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text('{"image_processor_type": "BlipImageProcessorPil"}')


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (other_kind, "it is a model of type 'dinov2': give a depth estimation model"),
        (no_processor, "transformers cannot load it"),
        (other_processor, "is of another kind of model"),
        (shutil.rmtree, "there is no folder"),
    ],
)
def test_depth_models(change: object, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_small_depth(tmp_path / "model")
    assert callable(change)
    change(model)
    settings = [f"workspace={tmp_path / 'space'}", *SMALL, *NEW, "conditioning=depth", f"depth.model={model}"]
    message = refusal("plan", "quickstart", settings, capsys)
    assert message.startswith("lumen plan: depth.model")
    assert expected in message


@pytest.mark.parametrize(
    ("labelled", "expected"),
    [
        ((), "conditioning=label reads labels, and the dataset has none: give labels, or take layout, canny"),
        (("train",), "2 of 2 images of 'val' have no label, such as images/val/"),
    ],
)
def test_labels_are_needed_of_every_image(
    labelled: tuple[str, ...], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, rng = tmp_path / "data", np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2)):
        for number in range(count):
            save(root / "images" / split / f"{number}.png", random_image(rng, 32, 64))
            if split in labelled:
                save(root / "masks" / split / f"{number}.png", rng.integers(0, 2, (32, 64), np.uint8))
    part = "dataset.folder={partly_labelled: true}" if labelled else "evaluate.split=null"
    if labelled:
        (root / "classes.txt").write_text("even\nodd\n")
    settings = [f"dataset.root={root}", "dataset.splits=[train,val]", part, f"workspace={tmp_path / 'space'}"]
    message = refusal("plan", "unlabelled", [*settings, *SMALL, *NEW, "conditioning=label"], capsys)
    assert expected in message
    if labelled:
        assert "conditioning=label need them; take only labelled images with dataset.only_labelled=true" in message
