"""What is said and done of the segmenter in a run: a judge that is unfit, and a training that could not work."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import downstream.trial
from downstream.results import RESULT, RunResult, write_json
from downstream.segmenters import segmenter_config
from pipeline.cli import guarded
from pipeline.config import Config
from pipeline.stages import trainings
from pipeline.stages.compare import CompareStep
from pipeline.stages.job import Job
from pipeline.stages.judge import JudgeStep
from pipeline.stages.shard import ShardStep
from pipeline.store import SampleReader, Store
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection
from pipeline.workflow.verify import verify
from pipeline.workspace.artifact import read_record
from pipeline.workspace.content import content_digest

Configure = Callable[..., Config]


def test_a_run_with_a_judge_that_learned_nothing_ends_with_a_page_and_no_figure_by_it(
    copied: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    downstream = ("downstream.iterations=1", "downstream.decoder_channels=8", "downstream.mixes=[real,synthetic]")
    settings = ("judge.iterations=1", "evaluate.second_judge=segformer_mit-b1", *downstream)
    lines: list[str] = []
    run(configure(copied, *settings), Selection(), lines.append)
    said = {line.split()[0]: line for line in lines if not line.startswith(("compare:", "curate:", "judge:"))}
    shortfall = r"\d of \d+ classes have an IoU above 0.05, at least \d+ are needed"
    remedy = r"raise judge.iterations \(now 1\) or take more labelled images, then run with --redo judge"
    assert re.search(rf"mIoU 0\.\d+ on 2 images of val; UNFIT to judge.*: {shortfall}; {remedy}", said["judge"])
    (line,) = [line for line in lines if line.startswith("curate: every pair is kept as it is")]
    assert re.search(rf"{shortfall}; {remedy}", line)
    assert re.search(rf"no alignment, because the judge is unfit: {shortfall}; {remedy}", said["evaluate"])
    assert (
        "No recommendation: it takes at least 3 seeds (downstream.seeds=[0,1,2]) and at least 30 held-out images"
        in (said["compare"])
    )
    assert any(re.match(r"compare: synthetic, seed 0: mIoU 0\.\d+ on 2 images of val", line) for line in lines)

    curated, synthetic = (SampleReader(Store.open(str(copied / name))) for name in ("curated", "synthetic"))
    assert sorted(curated.keys) == sorted(
        key for key in synthetic.keys if synthetic.read(key).metadata["split"] == "train"
    )
    for key in curated.keys:
        sample, source = curated.read(key), synthetic.read(key)
        assert sample.label is not None and (sample.label == source.label).all()
        assert sample.metadata == {**source.metadata, "verdict": "not judged"}
    assert not (copied / "scale").exists()
    table = pq.read_table(copied / "evaluation.parquet")
    assert table["alignment"].null_count == table["second_alignment"].null_count == len(table) == 2
    # Two held-out images are enough for pairs, and too few for sets.
    assert table["edges"].null_count == 0 and table["measured_sources"].to_pylist() == [2, 2]
    assert table["kernel"].null_count == 2
    assert any("2 sources, 50 are needed" in reason for reason in table["not_measured"][0].as_py())
    evaluation = read_record(copied / "evaluation.parquet")
    assert evaluation is not None and "classes have an IoU" in str(evaluation.facts["second_judge"])
    assert (copied / "report" / "index.html").read_text().count("The judge is unfit:") == 1
    assert verify(str(copied)).faults == []
    record = read_record(copied / "judge")
    assert record is not None and "classes have an IoU above" in str(record.facts["unfit"])

    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*") if path.is_file() and path.name != ".lock"}
    run(configure(copied, *settings), Selection(), lambda _: None)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert guarded(["plan", str(copied / "config.yaml")]) == 0
    assert "curate: every pair is kept as it is, because the judge is unfit" in capsys.readouterr().out


def test_a_training_that_diverges_stops_the_run_in_a_line_and_commits_nothing(
    copied: Path, configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = segmenter_config("segformer_mit-b0", 19, (32, 64), 8)
    # The loss is still a number, the sum of its squared gradients is none.
    model["decode_head"]["loss_decode"]["loss_weight"] = 1e37
    (tmp_path / "steep.py").write_text(f"model = {model!r}\n")
    recipe = tmp_path / "recipe.yaml"
    config = configure(copied, f"downstream.model={tmp_path / 'steep.py'}", "downstream.decoder_channels=null")
    recipe.write_text(config.model_dump_json())
    assert guarded(["run", str(recipe), "--until", "judge"]) == 2
    message = capsys.readouterr().err
    assert "the norm of the gradients is inf at step 1 of 300" in message
    assert "lower downstream.learning_rate" in message and "--redo judge" in message
    assert message.count("\n") == 1
    assert not (copied / "judge").exists()
    assert not list((copied / "runs").rglob("result.json"))


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["downstream.model=pspnet_r18-d8_4xb2-80k_cityscapes-512x1024", "downstream.batch_size=1"],
            "downstream.batch_size of 2 or more",
        ),
        (["downstream.model=mask2former_r50_8xb2-160k_ade20k-512x512"], "needs the package mmdet"),
    ],
    ids=["batch", "package"],
)
def test_a_segmenter_that_cannot_be_trained_is_refused_before_any_work(
    configure: Configure,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    overrides: list[str],
    said: str,
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(configure(tmp_path / "new", "downstream.decoder_channels=null").model_dump_json())
    assert guarded([command, str(recipe), *overrides]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1
    assert not (tmp_path / "new").exists()
    # Nothing is trained up to there.
    assert guarded(["plan", str(recipe), *overrides, "--until", "generate"]) == 0


def test_the_trial_of_a_run_on_a_cluster_is_not_held_against_this_machine(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(downstream.trial, "require_trainable", lambda trial: asked.append(trial.local))
    for overrides in ([], ["cluster.executor=ray", "cluster.address=127.0.0.1:1"]):
        config = configure(tmp_path / "new", *overrides)
        job = Job(config)
        job.step(JudgeStep).check([job.step(ShardStep), job.step(JudgeStep)])
    assert asked == [True, False]


def test_a_plan_says_how_much_the_baseline_varies(
    copied: Path, configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(copied, "downstream.mixes=[real,synthetic,real+synthetic]", "downstream.seeds=[0,1,2,3]")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(config.model_dump_json())
    for training, miou in zip(Job(config).step(CompareStep).trainings(["real"])[:3], (0.3, 0.31, 0.32), strict=True):
        inputs = {"splits": ["train", "val"]}
        result = RunResult("real", training.seed, 9, miou, 0.8, {"road": miou}, [], 1.0, "f", inputs, 2)
        training.folder.mkdir(parents=True)
        write_json(training.folder / RESULT, result.to_json())
    assert guarded(["plan", str(recipe)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    varies = r"compare: real varies by 1\.0 points of mIoU \(standard deviation between 3 seeds\)"
    takes = r": to see a gain of 1\.0 points with a power of 80% takes about \d\d seeds of each mix"
    assert re.search(varies + takes, said)


def test_each_store_is_read_once_for_all_trainings(
    copied: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(copied / "synthetic", copied / "curated")
    read: list[str] = []

    def digest(store: Store) -> str:
        read.append(Path(store.url).name)
        return content_digest(store)

    monkeypatch.setattr(trainings, "content_digest", digest)
    config = configure(copied, "downstream.mixes=[real,synthetic,real+0.5*synthetic]", "downstream.seeds=[0,1,2]")
    assert len({training.folder for training in Job(config).step(CompareStep).trainings()}) == 9
    assert read == ["real", "curated"]
    Job(config).step(CompareStep).finished(frozenset({"curate"}))
    assert read == ["real", "curated", "real"]
