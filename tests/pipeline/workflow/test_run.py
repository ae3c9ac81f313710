"""A run is done once, extends without touching what is there, and refuses to mix what does not belong together."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import webdataset
from omegaconf import OmegaConf

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.config import Config
from pipeline.stages.adapt import AdaptStep
from pipeline.stages.curate import CurateStep
from pipeline.stages.encode import EncodeStep
from pipeline.stages.extract import ExtractStep
from pipeline.stages.fit import FitStep
from pipeline.stages.generate import GenerateStep
from pipeline.stages.job import Job
from pipeline.stages.judge import JudgeStep
from pipeline.stages.report import ReportStep
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import StageName
from pipeline.stages.tools import Tools
from pipeline.store import SampleReader, Store
from pipeline.workflow.kept_config import read_config
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection, steps_of
from pipeline.workflow.verify import verify
from pipeline.workspace.artifact import Artifact
from pipeline.workspace.lock import sole_run
from tests.pipeline.progress import progress
from tests.pipeline.store.object_store import Proxy

Configure = Callable[..., Config]


def files(folder: Path) -> dict[str, tuple[int, str]]:
    """Modification time and digest of every file but the lock that writers hold."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def shard_digests(store: Path) -> dict[str, str]:
    return {receipt.shard: receipt.sha256 for receipt in Store.open(str(store)).receipts()}


def kept(config: Config, recipe: Path) -> str:
    """The path of a recipe that says the same as the configuration."""
    recipe.write_text(OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json"))))
    return str(recipe)


def test_synthetic_label_is_the_label_of_its_source(generated: Path) -> None:
    real = SampleReader(Store.open(str(generated / "real")))
    synthetic = SampleReader(Store.open(str(generated / "synthetic")))
    assert len(synthetic) == len(real) * 2 * 2
    for key in synthetic.keys:
        sample = synthetic.read(key)
        source = real.read(str(sample.metadata["source_key"]))
        np.testing.assert_array_equal(sample.label, source.label)
        assert sample.metadata["split"] == source.metadata["split"]


def test_synthetic_sample_tells_where_it_comes_from(generated: Path) -> None:
    table = Store.open(str(generated / "synthetic")).index()
    expected = {"source_key", "source_dataset", "split", "k", "variant", "seed", "prompt", "base", "adapter", "basis"}
    assert expected <= set(table.column_names)
    assert len(set(table["seed"].to_pylist())) == len(table)
    assert all(prompt.startswith("a rendered street") for prompt in table["prompt"].to_pylist())
    assert set(table["source_dataset"].to_pylist()) == {"rendered"}


def test_synthetic_images_differ_between_variants_and_ks(generated: Path) -> None:
    synthetic = SampleReader(Store.open(str(generated / "synthetic")))
    source = synthetic.read(synthetic.keys[0]).metadata["source_key"]
    images = [synthetic.read(f"{source}_k{k:02d}_v{variant:02d}").image for k in (0, 4) for variant in (0, 1)]
    for index, image in enumerate(images):
        assert not any(np.array_equal(image, other) for other in images[index + 1 :])


def test_every_store_verifies_and_plain_webdataset_reads_it(generated: Path) -> None:
    found = verify(str(generated))
    assert found.faults == []
    assert [line.split(":")[0] for line in found.checked] == [
        "real",
        "layouts",
        "synthetic",
        "scenes",
        "basis",
        "curves",
        "adapter",
    ]
    assert found.unchecked == ["config.yaml", "history.json"]
    shard = sorted((generated / "synthetic" / "shards").glob("*.tar"))[0]
    samples = list(webdataset.WebDataset(f"file:{shard}", shardshuffle=False))
    assert len(samples) == 2
    assert {"png", "label.png", "json"} <= set(samples[0])


def test_verify_names_the_file_that_was_changed(copied: Path) -> None:
    shard = sorted((copied / "synthetic" / "shards").glob("*.tar"))[0]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))
    (copied / "basis" / "own" / "basis.json").write_text("{}")
    faults = verify(str(copied)).faults
    assert any(shard.name in fault for fault in faults)
    assert any("own/basis.json has changed" in fault for fault in faults)


def test_second_run_changes_nothing(copied: Path, configure: Configure) -> None:
    before = files(copied)
    lines: list[str] = []
    run(configure(copied), Selection(until="generate"), lines.append)
    assert files(copied) == before
    assert [line.split() for line in lines[1:]] == [
        [stage, "done"] for stage in ("shard", "fit", "probe", "extract", "adapt", "generate")
    ]


def test_plan_and_status_change_nothing(generated: Path, configure: Configure, tmp_path: Path) -> None:
    before = files(generated)
    done = {row.stage: row for row in progress(steps_of(read_config(generated)))}
    assert (done["shard"].units, done["shard"].units_done, done["shard"].samples_done) == (4, 4, 7)
    assert (done["generate"].units, done["generate"].units_done) == (16, 16)
    assert done["judge"].units_done == 0
    assert files(generated) == before

    planned = {row.stage: row for row in progress(steps_of(configure(tmp_path / "new")))}
    assert (planned["generate"].units, planned["generate"].units_done, planned["generate"].samples) == (16, 0, 28)
    assert list(tmp_path.iterdir()) == []


def test_copied_workspace_stands_for_itself(generated: Path, copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = files(generated)
    shutil.rmtree(copied / "synthetic")
    recipe = str(copied / "config.yaml")
    assert guarded(["plan", recipe]) == 0
    assert guarded(["run", recipe, "--until", "generate"]) == 0
    assert capsys.readouterr().out.count(f"quickstart in {copied}\n") == 2
    assert shard_digests(copied / "synthetic") == shard_digests(generated / "synthetic")
    assert guarded(["report", str(copied)]) == 0
    page = (copied / "report" / "index.html").read_text()
    assert f"lumen run {copied}/config.yaml" in page
    assert "<h1>quickstart</h1>" in page
    assert str(generated) not in page
    assert files(generated) == original


def test_copied_report_is_made_again(copied: Path, configure: Configure, tmp_path: Path) -> None:
    def report(workspace: Path) -> Artifact:
        config = configure(workspace)
        return Job(config).step(ReportStep).artifact()

    with report(copied).building() as folder:
        (folder / "index.html").write_text("names its workspace")
    assert report(copied).is_done()
    other = Path(shutil.copytree(copied, tmp_path / "other"))
    assert not report(other).is_done()


def test_more_ks_and_variants_extend_the_store_and_touch_nothing_in_it(copied: Path, configure: Configure) -> None:
    before = files(copied / "synthetic")
    # Those that grow with the store: which shards there should be, and the cards, which count the images.
    for name in ("inventory.json", "README.md", "croissant.json"):
        del before[name]
    run(configure(copied, "generate.ks=[4,2,0]", "generate.variants=3"), Selection(until="generate"), print)
    after = files(copied / "synthetic")
    assert {name: after[name] for name in before} == before
    assert len(Store.open(str(copied / "synthetic")).done()) == 4 * 3 * 3


def test_resources_are_no_part_of_any_fingerprint(generated: Path, configure: Configure) -> None:
    one = Job(configure(generated))
    many = Job(
        configure(
            generated,
            "cluster.executor=ray",
            "cluster.address=somewhere",
            "cluster.default={num_cpus: 4, num_gpus: 1, workers: 3, threads: 2, batch_size: 64}",
            "error_budget.rate=0.5",
        )
    )
    assert one.step(ShardStep).plan().manifest == many.step(ShardStep).plan().manifest
    assert one.step(FitStep).artifact().fingerprint == many.step(FitStep).artifact().fingerprint
    assert one.step(ExtractStep).plan().manifest == many.step(ExtractStep).plan().manifest
    assert one.step(AdaptStep).artifact().fingerprint == many.step(AdaptStep).artifact().fingerprint
    assert one.step(GenerateStep).plan().manifest == many.step(GenerateStep).plan().manifest


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed=1", "seed"),
        ("generator.num_steps=3", "num_steps"),
        ("generate.prompts.negative=blurry", "negative"),
        ("shard.samples_per_shard=3", "samples_per_shard"),
        ("dataset.render.train=4", "train"),
    ],
)
def test_other_inputs_are_refused_and_named(
    generated: Path, configure: Configure, override: str, expected: str
) -> None:
    before = files(generated)
    with pytest.raises(UserError) as error:
        run(configure(generated, override), Selection(until="generate"), print)
    assert expected in str(error.value)
    assert "--redo" in str(error.value)
    assert "\n" not in str(error.value)
    assert files(generated) == before


@pytest.mark.parametrize(
    ("stage", "overrides", "expected"),
    [
        ("shard", ["geometry.width=128"], "geometry.width: stored 64, requested 128"),
        (
            "fit",
            ["layout.k_max=2", "generate.ks=[2]", "generator.adapter=null", "layout.basis=own", "adapt.steps=1"],
            "layout.k_max: stored 4, requested 2",
        ),
        ("adapt", ["adapt.steps=1"], "adapt.steps: stored 0, requested 1"),
        ("generate", ["generator.num_steps=3"], "(generator.num_steps: stored 2, requested 3"),
        ("judge", ["judge.seed=1"], "judge.seed: stored 0, requested 1"),
        ("curate", ["curate.tolerance=2"], "curate.tolerance: stored 1.0, requested 2.0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_stage_refuses_other_inputs_with_what_differs_and_both_ways_out(
    copied: Path,
    configure: Configure,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    overrides: list[str],
    expected: str,
) -> None:
    # A judge and a curated store that were never trained or filled: only what they were made from is asked for.
    config = configure(copied)
    job = Job(config)
    with job.step(JudgeStep).artifact().building() as folder:
        (folder / "segmenter.json").write_text("{}")
    curated = job.step(CurateStep).plan()
    store = Store.create(job.step(CurateStep).url, curated.manifest)
    for shard in curated.shards:
        store.write_shard(shard, [])
    before = files(copied)
    command = ["run", str(copied / "config.yaml"), f"workspace={copied}", "--until", "curate"]
    assert guarded(command) == 0
    capsys.readouterr()
    assert guarded([*command, *overrides]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert "choose another" in message
    assert "workspace" in message
    assert f"--redo {stage}" in message
    assert message.count("\n") == 1
    assert not re.search(r"\b[0-9a-f]{9,}\b", message)
    assert files(copied) == before


def test_redo_makes_a_stage_and_what_follows_again(copied: Path, configure: Configure) -> None:
    before = files(copied)
    run(configure(copied, "seed=1"), Selection(until="generate", redo="generate"), print)
    after = files(copied)
    assert {name for name in before if before[name] == after.get(name)} >= {
        name for name in before if name.startswith(("real/", "layouts/", "basis/", "adapter/"))
    }
    changed = shard_digests(copied / "synthetic")
    assert len(changed) == 16
    assert {name for name in changed if before[f"synthetic/shards/{name}.tar"][1] == changed[name]} == set()


def test_no_other_run_begins_between_what_redo_removes_and_makes(copied: Path, configure: Configure) -> None:
    seen: list[str] = []

    def report(line: str) -> None:
        if not seen:
            assert not (copied / "adapter").exists()
            with pytest.raises(UserError, match="another run is using it"), sole_run(copied):
                pass
        seen.append(line)

    run(configure(copied), Selection(until="adapt", redo="adapt"), report)
    assert (copied / "adapter").exists()


def test_plan_refuses_what_run_would_refuse(generated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["plan", str(generated / "config.yaml"), f"workspace={generated}"]
    assert guarded(command) == 0
    assert guarded([*command, "seed=1"]) == 2
    assert "seed: stored 0, requested 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["name=other", "seed=1"], "name, seed"),
        (["dataset.render.seed=7"], "dataset"),
        (["seed=1", "generator.num_steps=3", "generate.variants=3"], "seed, generator, generate"),
    ],
    ids=["name", "dataset", "many"],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_workspace_of_another_recipe_is_said_to_be_that_first(
    generated: Path, capsys: pytest.CaptureFixture[str], command: str, overrides: list[str], expected: str
) -> None:
    assert guarded([command, str(generated / "config.yaml"), *overrides]) == 2
    message = capsys.readouterr().err
    differ = "differ" if "," in expected else "differs"
    lead = f"lumen {command}: {generated} holds another run ({expected} {differ}): take another --workspace. "
    assert message.startswith(lead)
    assert "requested" in message
    assert message.count("\n") == 1


def test_changed_setting_of_the_same_recipe_is_not_said_to_be_another(
    generated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(["run", str(generated / "config.yaml"), "generator.num_steps=3"]) == 2
    assert "holds another run" not in capsys.readouterr().err


def test_keys_that_an_earlier_version_did_not_know_make_no_other_recipe(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = OmegaConf.load(copied / "config.yaml")
    for key in ("backbone.layer", "layout.views", "adapt.view_share", "generate.edit", "probe", "conditioning"):
        section, _, name = key.rpartition(".")
        del (kept[section] if section else kept)[name]
    OmegaConf.save(kept, copied / "config.yaml")
    assert guarded(["run", str(copied / "config.yaml"), "generator.num_steps=3"]) == 2
    message = capsys.readouterr().err
    assert "generator.num_steps: stored 2, requested 3" in message and "holds another run" not in message


def test_what_is_not_requested_any_more_is_not_used_in_silence(copied: Path, configure: Configure) -> None:
    before = files(copied)
    with pytest.raises(UserError, match=r"8 shards that are not requested.*--redo generate"):
        run(configure(copied, "generate.ks=[4]"), Selection(until="generate"), print)
    assert files(copied) == before


@pytest.mark.parametrize(("name", "stage"), [("real", "shard"), ("basis", "fit"), ("scenes", "shard")])
def test_folder_of_somebody_else_is_neither_used_nor_removed(
    configure: Configure, tmp_path: Path, name: str, stage: StageName
) -> None:
    thesis = tmp_path / "space" / name / "thesis.tex"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("years of work")
    for selection in (Selection(until=stage), Selection(until=stage, redo=stage)):
        with pytest.raises(UserError, match=rf"{name} exists and"):
            run(configure(tmp_path / "space"), selection, print)
    assert thesis.read_text() == "years of work"


def test_redo_removes_nothing_where_the_run_cannot_begin(copied: Path, configure: Configure) -> None:
    before = files(copied)
    for override, selection in (
        ("downstream.model=nowhere", Selection(redo="shard")),
        ("seed=0", Selection(redo="shard", only="generate")),
        ("seed=0", Selection(redo="generate", until="fit")),
    ):
        with pytest.raises(UserError):
            run(configure(copied, override), selection, print)
    assert files(copied) == before


def test_two_runs_do_not_share_a_workspace(copied: Path, configure: Configure) -> None:
    shutil.rmtree(copied / "synthetic")
    with sole_run(copied), pytest.raises(UserError, match="another run is using it"):
        run(configure(copied), Selection(until="generate"), print)


def test_only_refuses_a_stage_whose_predecessors_are_not_done(configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="shard"):
        run(configure(tmp_path / "new"), Selection(only="extract"), print)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("layout.k_max=5", "k_max=4"),
        ("generator.base=lumen-tiny", "steers a base with in_channels 4"),
        ("generate.prompts.templates=['{caption} in {season}']", "{season}"),
        ("downstream.model=segformer_mit-b9", "segformer_mit-b9"),
        ("downstream.pretrained=nowhere.pth", "nowhere.pth"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_what_cannot_work_is_refused_before_anything_is_written(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, override: str, expected: str
) -> None:
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    assert guarded([command, recipe, override]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_finished_training_that_was_not_committed_is_not_done_again(
    copied: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the last step of adapt and the record of its artifact costs nothing."""
    config = configure(copied, "adapt.steps=2", "adapt.batch_size=2")
    shutil.rmtree(copied / "adapter")
    job = Job(config)
    job.step(EncodeStep).run(Tools(config, print))

    # Not a signal: a shell has jobs in the background ignore SIGINT, and the tests may be one.
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pipeline.workspace.artifact.write_record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            job.step(AdaptStep).run(Tools(config, print))
    (partial,) = copied.glob(".adapter-*.partial")
    before = files(partial)
    job.step(AdaptStep).run(Tools(config, print))
    assert {name: files(copied / "adapter")[name] for name in before} == before


def test_run_killed_in_generate_and_run_again_gives_the_same_bytes(
    generated: Path, copied: Path, configure: Configure
) -> None:
    shutil.rmtree(copied / "synthetic")
    config = configure(copied)
    program = (
        "import sys; from pathlib import Path; from pipeline.workflow.kept_config import read_config;"
        "from pipeline.workflow.run import run; from pipeline.workflow.selection import Selection;"
        "run(read_config(Path(sys.argv[1])), Selection(until='generate'), print)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(copied)], stdout=subprocess.DEVNULL)
    done = copied / "synthetic" / "done"
    deadline = time.monotonic() + 120
    while not list(done.glob("*.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    part = shard_digests(copied / "synthetic")
    assert 0 < len(part) < 16
    run(config, Selection(until="generate"), print)
    assert shard_digests(copied / "synthetic") == shard_digests(generated / "synthetic")
    assert verify(str(copied / "synthetic")).faults == []


def test_stores_may_lie_in_a_bucket_and_the_rest_here(
    configure: Configure, proxy: Proxy, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space, recipe = tmp_path / "space", tmp_path / "recipe.yaml"
    config = configure(space, f"stores={bucket}/run")
    kept(config, recipe)
    proxy.seeded(rate=0.1)
    assert guarded(["plan", str(recipe)]) == 0
    assert not space.exists()
    assert guarded(["run", str(recipe), "--until", "shard"]) == 0
    assert guarded(["run", str(recipe), "--until", "shard"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["shard", "done"]
    assert guarded(["status", str(space), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert (row["units_done"], row["samples_done"], row["failed"]) == (4, 7, 0)
    for place in (str(space), f"{bucket}/run/real"):
        assert guarded(["verify", place]) == 0
    assert not (space / "real").exists()

    first = [receipt.finished for receipt in Store.open(f"{bucket}/run/real").receipts()]
    assert guarded(["run", str(recipe), "--until", "shard", "--redo", "shard"]) == 0
    again = Store.open(f"{bucket}/run/real")
    assert [receipt.finished for receipt in again.receipts()] > first
    assert len(again.location.names("shards", ".tar")) == 4


def test_a_fixed_image_is_retried_into_the_shard_that_was_there_without_its_fault(
    copied: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    before = shard_digests(copied / "real")
    image = sorted((copied / "scenes" / "leftImg8bit" / "train").glob("*/*.png"))[0]
    whole = image.read_bytes()
    image.write_bytes(whole[:200])
    Store.open(str(copied / "real")).discard("train-000000")
    remedy = f"lumen quarantine {copied} --stage shard lists them all; fix the cause, then lumen retry {copied} shard"
    run(configure(copied), Selection(until="shard"), print)
    [row] = Store.open(str(copied / "real")).quarantine().to_pylist()
    assert row["reason"].startswith(f"truncated image: {image}")
    shown = f"1 quarantined (1 x truncated image), such as {row['key']}: {row['reason']}; {remedy}"
    assert shown in capsys.readouterr().out
    assert guarded(["status", str(copied)]) == 0
    assert f"shard: {shown}" in capsys.readouterr().out.splitlines()
    assert guarded(["retry", str(copied), "shard"]) == 1
    assert "0 of 1 quarantined samples recovered, 1 failed again (1 x truncated image)" in capsys.readouterr().out
    assert shard_digests(copied / "real") != before

    image.write_bytes(whole)
    assert guarded(["retry", str(copied), "shard"]) == 0
    assert "1 of 1 quarantined samples recovered" in capsys.readouterr().out
    assert shard_digests(copied / "real") == before
    assert Store.open(str(copied / "real")).quarantine().num_rows == 0
    assert not [line for line in remark_on(copied, capsys) if "changed after" in line]


def remark_on(space: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What status and verify, which find no fault, say of a workspace."""
    capsys.readouterr()
    assert guarded(["status", str(space)]) == 0
    assert guarded(["verify", str(space)]) == 0
    return capsys.readouterr().out.splitlines()


def test_what_was_made_before_a_retry_is_reported_until_it_is_made_again(
    copied: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    image = sorted((copied / "scenes" / "leftImg8bit" / "train").glob("*/*.png"))[0]
    whole = image.read_bytes()
    image.write_bytes(whole[:200])
    Store.open(str(copied / "real")).discard("train-000000")
    run(configure(copied), Selection(until="shard"), print)
    run(configure(copied), Selection(until="extract", redo="fit"), print)
    image.write_bytes(whole)
    assert not [line for line in remark_on(copied, capsys) if "changed after" in line]

    assert guarded(["retry", str(copied), "shard"]) == 0
    remedy = f"lumen run {copied / 'config.yaml'} --redo fit"
    line = f"real changed after basis, layouts had been made from it: to make that again, {remedy}"
    assert capsys.readouterr().out.splitlines()[-1] == line
    assert remark_on(copied, capsys).count(line) == 2
    assert guarded(["run", *remedy.split()[2:], "--until", "extract"]) == 0
    assert not [line for line in remark_on(copied, capsys) if "changed after" in line]


def lose_a_shard(space: Path) -> None:
    Store.open(str(space / "real")).discard("train-000000")


def damage_the_basis(space: Path) -> None:
    (space / "basis" / "layouts" / "basis.json").write_text("{")


@pytest.mark.parametrize("harm", [lose_a_shard, damage_the_basis])
def test_what_is_lost_or_damaged_is_not_reported_as_changed(
    copied: Path, harm: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    harm(copied)
    assert guarded(["status", str(copied)]) == 0
    assert "changed after" not in capsys.readouterr().out
    assert guarded(["verify", str(copied)]) == 1


@pytest.mark.parametrize(("stage", "expected"), [("fit", "writes no store"), ("curate", "has not been run")])
def test_retry_refuses_a_stage_without_quarantine(
    generated: Path, stage: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(["retry", str(generated), stage]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1
