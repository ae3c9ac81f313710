"""A run whose classes follow all components where the judge does not recognise them on held-out images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from downstream.results import RESULT, RunResult, write_json
from pipeline.config import Config
from pipeline.stages.job import Job
from pipeline.stages.judge import JudgeStep
from pipeline.store import SampleReader, Store
from pipeline.workflow.outdated import outdated
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection, names, needed_by, steps_of
from pipeline.workflow.verify import verify

Configure = Callable[..., Config]
KNOWN = {"road": 0.9, "sky": 0.8, "building": 0.7, "vegetation": 0.6, "sidewalk": 0.5, "car": 0.3}


def with_judge(config: Config, ious: dict[str, float]) -> JudgeStep:
    """A judge with these IoUs; no held-out image shows the other classes, one of which it sees by mistake."""
    step = Job(config).step(JudgeStep)
    iou = {name: ious.get(name, 0.0 if name == "bus" else None) for name in step.taxonomy.classes}
    pixels = {name: 100 if name in ious else 0 for name in iou}
    with step.artifact().building() as folder:
        result = RunResult("real", 0, 9, 0.6, 0.8, iou, [], 1.0, "f", {"splits": ["train", "val"]}, 2, pixels)
        write_json(folder / RESULT, result.to_json())
        (folder / "segmenter.json").write_text(str(ious))
    return step


def samples(space: Path) -> dict[str, np.ndarray]:
    return {sample.key: sample.image for sample in SampleReader(Store.open(str(space / "synthetic"))).samples()}


def test_unrecognised_classes_are_painted_as_if_their_ks_were_given(
    copied: Path, tmp_path: Path, configure: Configure
) -> None:
    config = configure(copied, "generate.ks=[1]", "generate.k_by_judge=0.5", "generate.k_by_class={person: 2}")
    with_judge(config, KNOWN)
    lines: list[str] = []
    other = Path(shutil.copytree(copied, tmp_path / "other"))
    run(config, Selection(until="generate", redo="generate"), lines.append)
    store = Store.open(str(copied / "synthetic"))
    unseen = [name for name in Job(config).step(JudgeStep).taxonomy.classes if name not in KNOWN]
    faithful = dict.fromkeys(sorted({"car", *unseen} - {"person"}), 4)
    assert store.manifest.inputs["k_by_judge"] == faithful
    (line,) = [line for line in lines if "components" in line]
    assert line.startswith(
        "generate: 13 of 19 classes follow all 4 components; the judge's IoU on val is below 0.5: car 0.30; "
        "no image of val shows them: bicycle, bus, fence, "
    )
    given = ", ".join(f"{name}: {k}" for name, k in {**faithful, "person": 2}.items())
    same = configure(other, "generate.ks=[1]", f"generate.k_by_class={{{given}}}")
    run(same, Selection(until="generate", redo="generate"), print)
    found, expected = samples(copied), samples(other)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(image, expected[key]) for key, image in found.items())
    assert all(sample.metadata["k_by_judge"] == faithful for sample in SampleReader(store).samples())
    assert verify(str(copied)).faults == []


def test_another_judge_is_noticed(copied: Path, configure: Configure) -> None:
    config = configure(copied, "generate.ks=[1]", "generate.k_by_judge=0.5")
    judge = with_judge(config, KNOWN)
    run(config, Selection(until="generate", redo="generate"), print)
    assert outdated(judge.workspace) is None
    judge.reset()
    with_judge(config, {**KNOWN, "car": 0.9, "sidewalk": 0.2})
    said = outdated(judge.workspace) or ""
    assert said.startswith("judge changed after synthetic had been made from it: ")
    assert said.endswith("--redo generate")
    with pytest.raises(UserError, match=r"k_by_judge.car: stored 4, not requested; .*the content of the judge"):
        run(config, Selection(until="generate"), print)


def test_an_unfit_judge_paints_nothing(copied: Path, configure: Configure) -> None:
    config = configure(copied, "generate.ks=[1]", "generate.k_by_judge=0.5")
    with_judge(config, dict.fromkeys(KNOWN, 0.03) | {"sky": 0.9})
    said = r"generate.k_by_judge: the judge is unfit, .*: 1 of 6 classes have .* 2 are needed; raise judge.iterations"
    with pytest.raises(UserError, match=said):
        run(config, Selection(until="generate", redo="generate"), print)
    assert not (copied / "synthetic").exists()


def test_the_judge_comes_before_what_reads_it_and_after_it_otherwise(tmp_path: Path, configure: Configure) -> None:
    usual, judged = (names(steps_of(configure(tmp_path, *more))) for more in ([], ["generate.k_by_judge=0.5"]))
    assert usual.index("judge") == usual.index("generate") + 1
    assert judged.index("judge") == judged.index("generate") - 1 and sorted(usual) == sorted(judged)
    steps = steps_of(configure(tmp_path, "generate.k_by_judge=0.5"))
    assert "judge" in names(needed_by(steps, "generate"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluate.split=null", "downstream.mixes=[real]"], "generate.k_by_judge: .* evaluate.split is null; name a"),
        (["conditioning=canny", "generate.ks=all"], "generate.k_by_judge: it is for neural layouts"),
        (["generate.k_by_judge=1.5"], "less than or equal to 1"),
    ],
)
def test_mistakes_are_found_before_anything_runs(
    tmp_path: Path, configure: Configure, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        configure(tmp_path, "generate.k_by_judge=0.5", *overrides)
