"""A run on each conditioning, from images to a report, with an adapter that is used for nothing else afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

from augment.conditioning import TITLES, Conditioning
from augment.conditioning.canny import Canny
from augment.conditioning.depth import Depth
from augment.conditioning.label_map import LabelMap
from augment.conditioning.record import save_conditioning
from augment.conditioning.soft_edge import SoftEdge
from augment.errors import UserError
from augment.lumen.model import Lumen
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.training import adapter_training
from pipeline.cli import guarded
from pipeline.config import Config
from pipeline.stages.conditioning import conditioning_inputs, load_other
from pipeline.stages.job import Job
from pipeline.store import SampleReader, Store
from pipeline.taxonomies import CITYSCAPES
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection, steps_of
from pipeline.workflow.verify import verify
from pipeline.workspace.artifact import read_record
from tests.pipeline.small_models import save_small_depth

Configure = Callable[..., Config]
FEW = (
    "dataset.render.train=3",
    "dataset.render.val=2",
    "generator.base=lumen-tiny",
    "generator.adapter=null",
    "adapt={steps: 2, batch_size: 2, learning_rate: 1.0e-3, warmup_steps: 0}",
    "generate.ks=all",
    "generate.variants=1",
    "judge.iterations=1",
    "downstream={iterations: 1, batch_size: 2, mixes: [real]}",
)


@pytest.fixture(scope="module")
def depth_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_depth(tmp_path_factory.mktemp("depth"))


@pytest.fixture(scope="module")
def conditioned(configure: Configure, depth_model: Path) -> Callable[..., Config]:
    """The configuration of a small run on a conditioning, in a workspace, with further overrides."""

    def make(space: Path, kind: str, *overrides: str) -> Config:
        return configure(space, *FEW, f"conditioning={kind}", f"depth.model={depth_model}", *overrides)

    return make


@pytest.fixture(scope="module")
def judged(conditioned: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of a run on soft edges, complete."""
    space = tmp_path_factory.mktemp("conditioned") / "space"
    run(conditioned(space, "soft_edge"), Selection(), print)
    return space


@pytest.fixture
def space(judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with what does not depend on the conditioning: the real store and the judge."""
    # Most of what a training of two steps takes; the first run has painted some.
    monkeypatch.setattr(adapter_training, "write_samples", lambda *_: None)
    for name in ("real", "scenes", "judge", "runs"):
        shutil.copytree(judged / name, tmp_path / "space" / name)
    return tmp_path / "space"


def direct(kind: str, depth_model: Path) -> Conditioning:
    """The conditioning, made without a run."""
    return {
        "canny": lambda: Canny(100, 200),
        "soft_edge": lambda: SoftEdge(1.5),
        "depth": lambda: Depth(str(depth_model)),
        "label": lambda: LabelMap(CITYSCAPES.classes, CITYSCAPES.ignore_index),
    }[kind]()


@pytest.mark.parametrize("kind", ["canny", "soft_edge", "depth", "label"])
def test_a_run_paints_on_what_the_conditioning_gives_and_says_so(
    kind: str, conditioned: Callable[..., Config], judged: Path, space: Path, depth_model: Path
) -> None:
    if kind == "soft_edge":
        space = judged
    config = conditioned(space, kind)
    run(config, Selection(), print)
    assert "fit" not in [step.name for step in steps_of(config)]
    assert not (space / "basis").exists()
    assert verify(str(space)).faults == []

    maker = direct(kind, depth_model)
    real, maps, synthetic = (SampleReader(Store.open(str(space / name))) for name in ("real", "layouts", "synthetic"))
    assert set(maps.keys) == set(real.keys)
    for key in real.keys:
        sample, found = real.read(key), maps.read(key).layout
        assert sample.image is not None and sample.label is not None and found is not None
        np.testing.assert_allclose(found, maker.maps(sample.image[None], sample.label[None])[0], atol=2e-2)
    assert len(synthetic) == len(real)
    for key in synthetic.keys:
        painted = synthetic.read(key)
        source = real.read(str(painted.metadata["source_key"]))
        assert (painted.metadata["conditioning"], painted.metadata["k"]) == (kind, maker.channels)
        assert "basis" not in painted.metadata
        np.testing.assert_array_equal(painted.label, source.label)
    evaluation = read_record(space / "evaluation.parquet")
    assert evaluation is not None and evaluation.facts["conditioning"] == kind
    assert TITLES[kind] in (space / "report" / "index.html").read_text()

    lumen = Lumen.load("lumen-tiny", space / "adapter", options=SamplerOptions(num_steps=1))
    sample = real.read(real.keys[0])
    assert sample.image is not None
    layout = lumen.layout(sample.image, sample.label)
    np.testing.assert_allclose(layout, maps.read(sample.key).layout, atol=2e-2)
    assert lumen.paint(layout).shape == sample.image.shape
    assert not np.array_equal(lumen.paint(layout), lumen.paint(layout, k=0))
    with pytest.raises(UserError, match="have no order"):
        lumen.paint(layout, k=1)
    with pytest.raises(UserError, match="have no backbone and no basis"):
        _ = lumen.basis


def test_the_adapter_of_a_run_is_used_as_it_is_by_another_of_the_same_conditioning(
    conditioned: Callable[..., Config], judged: Path, space: Path
) -> None:
    start = f"generator.adapter={judged / 'adapter'}"
    run(conditioned(space, "soft_edge", start, "adapt.steps=0"), Selection(until="generate"), print)
    first, again = (SampleReader(Store.open(str(path / "synthetic"))) for path in (judged, space))
    for key in again.keys:
        np.testing.assert_array_equal(again.read(key).image, first.read(key).image)


@pytest.mark.parametrize(
    ("kind", "overrides", "expected"),
    [
        ("canny", (), "reads soft edges, not Canny edges: take conditioning=soft_edge, or train a new one"),
        ("layout", ("layout={k_max: 64, basis: adapter}",), "adapt.steps=N, layout.basis=own"),
        ("soft_edge", ("soft_edge.sigma=3",), "reads soft edges with sigma 1.5 and not 3.0"),
    ],
)
def test_an_adapter_is_refused_for_what_it_was_not_trained_on(
    conditioned: Callable[..., Config],
    judged: Path,
    tmp_path: Path,
    kind: str,
    overrides: tuple[str, ...],
    expected: str,
) -> None:
    start = f"generator.adapter={judged / 'adapter'}"
    with pytest.raises(UserError) as error:
        run(conditioned(tmp_path / "other", kind, start, *overrides), Selection(), print)
    assert expected in str(error.value)
    assert not (tmp_path / "other").exists()


def test_another_depth_model_is_refused(
    conditioned: Callable[..., Config], judged: Path, depth_model: Path, tmp_path: Path
) -> None:
    adapter = Path(shutil.copytree(judged / "adapter", tmp_path / "adapter"))
    save_conditioning(Depth(str(depth_model)), adapter)
    other = save_small_depth(tmp_path / "other", seed=1)
    config = conditioned(tmp_path / "space", "depth", f"generator.adapter={adapter}", f"depth.model={other}")
    with pytest.raises(UserError, match=r"reads depth maps with revision [0-9a-f]+.* and not "):
        run(config, Selection(), print)
    with pytest.raises(UserError, match="was trained with another depth model"):
        Lumen.load("lumen-tiny", adapter, backbone=str(other))
    moved = Path(shutil.copytree(depth_model, tmp_path / "moved"))
    assert Lumen.load("lumen-tiny", adapter, backbone=str(moved)).conditioning.kind == "depth"


def test_a_changed_option_is_named_by_its_key(conditioned: Callable[..., Config], judged: Path) -> None:
    with pytest.raises(UserError, match=r"layouts was made from other inputs \(soft_edge\.sigma: stored 1.5, req"):
        run(conditioned(judged, "soft_edge", "soft_edge.sigma=2"), Selection(), print)
    with pytest.raises(UserError, match=r"\(.*conditioning: stored .soft_edge., requested .canny."):
        run(conditioned(judged, "canny"), Selection(), print)


def test_fit_is_no_stage_of_such_a_run(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["run", str(judged), "--until", "fit"]) == 2
    message = capsys.readouterr().err
    assert "fit is not a stage of this run: conditioning=soft_edge has no basis to fit" in message
    assert message.count("\n") == 1


def test_workers_refuse_another_depth_model_than_that_of_the_adapter(
    conditioned: Callable[..., Config], judged: Path, depth_model: Path, tmp_path: Path
) -> None:
    adapter = Path(shutil.copytree(judged / "adapter", tmp_path / "adapter"))
    save_conditioning(Depth(str(depth_model)), adapter)
    start = f"generator.adapter={adapter}"
    job = Job(conditioned(tmp_path / "space", "depth", start, "adapt.steps=0"))
    assert load_other(job, {})("cpu").kind == "depth"
    other = save_small_depth(tmp_path / "other", seed=1)
    job = Job(conditioned(tmp_path / "space", "depth", start, "adapt.steps=0", f"depth.model={other}"))
    with pytest.raises(UserError, match="reads depth maps with revision"):
        load_other(job, {})("cpu")


def test_maps_of_a_hub_model_are_of_one_revision(
    conditioned: Callable[..., Config], depth_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    hub = tmp_path / "cache" / "models--owner--depth"
    before, after = "a" * 40, "b" * 40
    shutil.copytree(depth_model, hub / "snapshots" / before)
    newer = Depth(str(save_small_depth(hub / "snapshots" / after, seed=1))).revision
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text(before)
    job = Job(conditioned(tmp_path / "space", "depth", "depth.model=owner/depth"))
    made = conditioning_inputs(job, {})
    named = {"kind": "depth", "model": {"name": "owner/depth"}}
    assert made == {"conditioning": {**named, "model": {"name": "owner/depth", "revision": before}}}

    (hub / "refs" / "main").write_text(after)
    # New maps are of the new revision. Those that exist go on with theirs, on every machine.
    assert conditioning_inputs(job, {}) != made
    assert conditioning_inputs(job, made) == made
    assert load_other(job, {})("cpu").facts()["revision"] == newer
    assert load_other(job, made)("cpu").facts()["revision"] == Depth(str(depth_model)).revision
    # Maps of earlier versions do not name theirs.
    assert conditioning_inputs(job, {"conditioning": named}) == {"conditioning": named}
