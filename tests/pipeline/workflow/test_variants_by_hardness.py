"""A run that paints more images of hard training layouts and fewer of easy ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from augment.errors import UserError
from downstream.judge import save_segmenter
from downstream.results import RESULT, RunResult, write_json
from downstream.segmenters import build_segmenter, segmenter_config
from pipeline.config import Config
from pipeline.stages.generate import GenerateStep
from pipeline.stages.hard_source import HardSources
from pipeline.stages.job import Job
from pipeline.stages.judge import JudgeStep
from pipeline.store import Sample, SampleReader, Store
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection
from pipeline.workflow.verify import verify

Configure = Callable[..., Config]
TWO = ("generate.ks=[2]", "generate.variants=2")
VARIED = (*TWO, "generate.variants_by_hardness={fewest: 1, most: 4}")


def with_judge(config: Config, iou: float = 0.5) -> None:
    """A judge of random weights, whose result says that it has this IoU in every class."""
    step = Job(config).step(JudgeStep)
    classes = step.taxonomy.classes
    torch.manual_seed(0)
    model = segmenter_config("segformer_mit-b0", len(classes), (32, 64), 16)
    with step.artifact().building() as folder:
        save_segmenter(folder, build_segmenter(model), model, classes)
        splits = {"splits": ["train", "val"]}
        result = RunResult("real", 0, 9, iou, 0.8, dict.fromkeys(classes, iou), [], 1.0, "f", splits, 2)
        write_json(folder / RESULT, result.to_json())


def samples(space: Path) -> dict[str, Sample]:
    return {sample.key: sample for sample in SampleReader(Store.open(str(space / "synthetic"))).samples()}


def test_hard_layouts_have_more_images_and_all_together_as_many(copied: Path, configure: Configure) -> None:
    run(configure(copied, *TWO), Selection(until="generate", redo="generate"), print)
    plain = samples(copied)
    config = configure(copied, *VARIED)
    with_judge(config)
    before = Job(config).step(GenerateStep)
    assert (before.size().samples, before.size().units) == (14, 3 * 4 + 2)
    lines: list[str] = []
    run(config, Selection(until="generate", redo="generate"), lines.append)
    found, step = samples(copied), Job(config).step(GenerateStep)
    assert step.size().samples == len(found) == len(plain) == 14
    assert step.size().units == len(step.store.done()) and step.is_done()
    assert verify(str(copied)).faults == []
    counts = Counter(str(sample.metadata["source_key"]) for sample in found.values())
    hard = HardSources.load(copied / "hardness.parquet")
    assert sorted(hard.variants) == sorted(count for key, count in counts.items() if key in hard.keys)
    assert {key: counts[key] for key in hard.keys} == dict(zip(hard.keys, hard.variants, strict=True))
    # The ramp to 4 is averaged over the ranks of five images.
    assert [number for _, number in sorted(zip(hard.hardness, hard.variants, strict=True))] == [1, 1, 2, 3, 3]
    # Held-out images are for measures: of each there are as many.
    assert {counts[key] for key in counts if key not in hard.keys} == {2} and len(hard.keys) == 5
    # An image that both runs have is the same, but for rounding: it is in a batch of another size.
    shared = found.keys() & plain.keys()
    different = [np.abs(found[key].image.astype(int) - plain[key].image.astype(int)).mean() for key in shared]
    assert len(shared) > 7 and max(different) < 0.5
    levels = dict(zip(hard.keys, hard.hardness, strict=True))
    for sample in found.values():
        level = levels.get(str(sample.metadata["source_key"]))
        assert sample.metadata.get("hardness") == (None if level is None else round(level, 4))
    (line,) = [line for line in lines if "by hardness" in line]
    assert line.startswith("generate: variants of training images by hardness: 1 of ") and "hardest classes" in line
    with pytest.raises(UserError, match=r"variants_by_hardness.most: stored 4, requested 5"):
        run(configure(copied, *TWO, "generate.variants_by_hardness={fewest: 1, most: 5}"), Selection(), print)
    (copied / "hardness.parquet").unlink()
    with pytest.raises(UserError, match=r"hardness.parquet is missing, .*--redo generate"):
        run(config, Selection(until="generate"), print)


def test_an_unfit_judge_says_nothing_about_hardness(copied: Path, configure: Configure) -> None:
    config = configure(copied, *VARIED)
    with_judge(config, 0.01)
    with pytest.raises(UserError, match=r"generate.variants_by_hardness: the judge is unfit, .*raise judge.iterations"):
        run(config, Selection(until="generate", redo="generate"), print)
    assert not (copied / "synthetic").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["generate.variants=1"], "variants=1 is the mean number of variants_by_hardness: give it between fewest=1"),
        (["generate.splits=[val]"], r"variants_by_hardness is for training images, .* splits=\['val'\] has no train"),
        (["judge.held_back=0"], "generate.variants_by_hardness: .* judge.held_back is 0; give 0.2"),
        (
            ["evaluate.split=null", "downstream.mixes=[real]"],
            "variants_by_hardness: .* evaluate.split is null",
        ),
    ],
)
def test_mistakes_are_found_before_anything_runs(
    tmp_path: Path, configure: Configure, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        configure(tmp_path, *VARIED, *overrides)
