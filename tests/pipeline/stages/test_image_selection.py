"""A run with sampling shards and paints what was chosen, counts classes once, and resumes and extends as any other."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.config import Config
from pipeline.config.compose import load_config
from pipeline.datasets.sampling import ClassCounts, fraction_sample, per_class_sample, rare_class_sample
from pipeline.stages.class_counts import read_counts, write_counts
from pipeline.store import SampleReader, Store
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection, steps_of
from pipeline.workflow.verify import verify
from pipeline.workspace.artifact import read_record
from tests.pipeline.datasets.trees import random_image, save, write_camvid_image
from tests.pipeline.progress import progress

Configure = Callable[..., Config]
RARE = ("generate.sampling={rare_class: {samples: 3, temperature: 0.05}}", "generate.ks=[4]", "generate.variants=1")


def keys_of(store: Path, split: str) -> set[str]:
    reader = SampleReader(Store.open(str(store)))
    return {key for key in reader.keys if reader.read(key).metadata["split"] == split}


def counted(store: Path, keys: set[str], classes: int) -> ClassCounts:
    """Class counts by a loop over the labels, pixel values compared one class at a time."""
    reader = SampleReader(Store.open(str(store)))
    labels = {key: reader.read(key).label for key in keys}
    rows = [(key, np.array([(label == index).sum() for index in range(classes)])) for key, label in labels.items()]
    return ClassCounts.of(rows, classes)


@pytest.fixture(scope="module")
def painted(configure: Configure, generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose sources were sampled by rare classes."""
    space = tmp_path_factory.mktemp("sampled") / "space"
    shutil.copytree(generated, space)
    shutil.rmtree(space / "synthetic")
    run(configure(space, *RARE), Selection(until="generate"), print)
    return space


def test_only_the_chosen_sources_are_painted_at_every_k(painted: Path) -> None:
    counts = counted(painted / "real", keys_of(painted / "real", "train"), 19)
    chosen = rare_class_sample(counts, 3, 0.05)
    assert len(chosen) == 3
    rows = Store.open(str(painted / "synthetic")).index().to_pylist()
    assert {row["source_key"] for row in rows if row["split"] == "train"} == chosen
    assert {row["source_key"] for row in rows if row["split"] == "val"} == keys_of(painted / "real", "val")
    assert len(rows) == 3 + 2
    assert sorted(Store.open(str(painted / "synthetic")).done()) == [
        "train-k04-v00-000000",
        "train-k04-v00-000001",
        "val-k04-v00-000000",
    ]
    assert verify(str(painted)).faults == []


def test_a_sampled_run_is_done_and_its_size_is_what_was_made(painted: Path, configure: Configure) -> None:
    done = {row.stage: row for row in progress(steps_of(configure(painted, *RARE)))}["generate"]
    assert (done.units, done.samples) == (done.units_done, done.samples_done) == (3, 5)
    lines: list[str] = []
    run(configure(painted, *RARE), Selection(until="generate"), lines.append)
    assert all(line.endswith("done") for line in lines[1:])


def test_more_ks_extend_a_sampled_store(painted: Path, configure: Configure, tmp_path: Path) -> None:
    space = tmp_path / "space"
    shutil.copytree(painted, space)
    before = {receipt.shard: receipt.sha256 for receipt in Store.open(str(space / "synthetic")).receipts()}
    run(configure(space, *RARE[:1], "generate.ks=[2,4]", "generate.variants=1"), Selection(until="generate"), print)
    after = {receipt.shard: receipt.sha256 for receipt in Store.open(str(space / "synthetic")).receipts()}
    assert before.items() < after.items()


@pytest.mark.parametrize("override", ["generate.sampling={fraction: 0.5}", "generate.sampling=null"])
def test_another_sampling_is_refused_and_named(painted: Path, configure: Configure, override: str) -> None:
    with pytest.raises(UserError, match=r"sampling.*--redo generate"):
        run(configure(painted, *RARE[1:], override), Selection(until="generate"), print)


def test_without_sampling_nothing_of_it_is_in_a_store(generated: Path) -> None:
    for name in ("real", "synthetic"):
        assert "sampling" not in Store.open(str(generated / name)).manifest.inputs
    assert not list(generated.glob("*classes*"))


def camvid(root: Path, splits: dict[str, int]) -> Path:
    """Images of mostly road, each third with a class of its own in a corner."""
    rng = np.random.default_rng(0)
    for split, count in splits.items():
        for number in range(count):
            label = np.full((32, 64), 3, np.uint8)
            label[:4, :4] = number // 3
            write_camvid_image(root, split, f"{number:03d}", random_image(rng, 32, 64), label)
    return root


def of_camvid(configure: Configure, root: Path, space: Path, *overrides: str) -> Config:
    return configure(space, "dataset=camvid", f"dataset.root={root}", "~dataset.render", *overrides)


def test_a_dataset_is_sampled_by_class_before_it_is_sharded(tmp_path: Path, configure: Configure) -> None:
    root, space = camvid(tmp_path / "data", {"train": 30, "val": 3}), tmp_path / "space"
    config = of_camvid(configure, root, space, "dataset.sampling={per_class: 1, seed: 5}")
    planned = {row.stage: row for row in progress(steps_of(config))}["shard"]
    assert planned.samples == 11 + 3
    run(config, Selection(only="shard"), print)
    counts = read_counts(space / "classes.parquet")
    assert len(counts.keys) == 30
    assert keys_of(space / "real", "train") == per_class_sample(counts, 1, 5)
    assert len(keys_of(space / "real", "val")) == 3
    there = {row.stage: row for row in progress(steps_of(config))}["shard"]
    assert there.samples == there.samples_done == 9 + 3
    # What was counted is removed by hand: the choice stays the same.
    (space / "classes.parquet").unlink()
    (space / "classes.json").unlink()
    assert steps_of(config)[0].is_done()


def test_other_images_are_refused_until_the_stage_is_redone(tmp_path: Path, configure: Configure) -> None:
    root, space = camvid(tmp_path / "data", {"train": 9, "val": 1}), tmp_path / "space"
    config = of_camvid(configure, root, space, "dataset.sampling={rare_class: {samples: 4}}")
    run(config, Selection(only="shard"), print)
    camvid(root, {"train": 12})
    with pytest.raises(UserError, match=r"list of images.*--redo shard"):
        run(config, Selection(only="shard"), print)
    run(config, Selection(only="shard", redo="shard"), print)
    assert len(read_counts(space / "classes.parquet").keys) == 12
    assert len(keys_of(space / "real", "train")) == 4


def test_an_image_whose_label_does_not_read_is_not_sampled(tmp_path: Path, configure: Configure) -> None:
    root, space = camvid(tmp_path / "data", {"train": 6, "val": 1}), tmp_path / "space"
    (root / "trainannot" / "004.png").write_bytes(b"")
    lines: list[str] = []
    run(of_camvid(configure, root, space, "dataset.sampling={per_class: 9}"), Selection(only="shard"), lines.append)
    assert keys_of(space / "real", "train") == {f"train_00{number}" for number in (0, 1, 2, 3, 5)}
    assert "shard: 1 labels could not be read and are not counted" in lines


def test_counting_classes_reads_no_image(tmp_path: Path, configure: Configure) -> None:
    root, space = camvid(tmp_path / "data", {"train": 6, "val": 1}), tmp_path / "space"
    (root / "train" / "004.png").write_bytes(b"")
    lines: list[str] = []
    run(of_camvid(configure, root, space, "dataset.sampling={per_class: 9}"), Selection(only="shard"), lines.append)
    assert len(read_counts(space / "classes.parquet").keys) == 6
    assert not [line for line in lines if "not counted" in line]
    # The image is at fault, and the stage that reads it says so.
    assert Store.open(str(space / "real")).totals().failure_reasons == {"empty image": 1}


def test_if_no_label_reads_nothing_is_counted_and_the_reason_is_reported(tmp_path: Path, configure: Configure) -> None:
    root, space = camvid(tmp_path / "data", {"train": 2, "val": 1}), tmp_path / "space"
    labels = sorted((root / "trainannot").iterdir())
    whole = [path.read_bytes() for path in labels]
    for path in labels:
        path.write_bytes(b"")
    config = of_camvid(configure, root, space, "dataset.sampling={per_class: 9}")
    with pytest.raises(UserError, match=r"no label could be read .* train_000: .*000\.png"):
        run(config, Selection(only="shard"), print)
    assert not list(space.glob("*classes*"))
    # Once they are fixed the same run counts them.
    for path, content in zip(labels, whole, strict=True):
        path.write_bytes(content)
    run(config, Selection(only="shard"), print)
    assert len(keys_of(space / "real", "train")) == 2


@pytest.mark.parametrize(
    ("options", "classes"),
    [("{ignore_index: 9}", "id,name\n1,road\n2,car\n"), ("{}", "id,name\n1,road\n3,car\n")],
)
def test_class_counts_are_refused_where_masks_mean_something_else(
    tmp_path: Path, configure: Configure, options: str, classes: str
) -> None:
    root, space, rng = tmp_path / "data", tmp_path / "space", np.random.default_rng(0)
    for split in ("train", "val"):
        save(root / "images" / split / "0.png", random_image(rng, 32, 64))
        save(root / "masks" / split / "0.png", rng.integers(1, 3, (32, 64), np.uint8))
    common = ("dataset=folder", f"dataset.root={root}", "~dataset.render", "dataset.sampling={per_class: 1}")
    (root / "classes.csv").write_text("id,name\n1,road\n2,car\n")
    run(configure(space, *common), Selection(only="shard"), print)
    shutil.rmtree(space / "real")
    (root / "classes.csv").write_text(classes)
    with pytest.raises(UserError, match=r"classes\.parquet was made from other inputs .*masks"):
        run(configure(space, *common, f"dataset.folder={options}"), Selection(only="shard"), print)


def test_class_counts_say_how_labels_were_translated(tmp_path: Path, configure: Configure) -> None:
    root, space = camvid(tmp_path / "data", {"train": 2, "val": 1}), tmp_path / "space"
    translated = ("dataset.sampling={per_class: 1}", "dataset.taxonomy=cityscapes")
    run(of_camvid(configure, root, space, *translated), Selection(only="shard"), print)
    record = read_record(space / "classes.parquet")
    assert record is not None
    assert record.inputs["translation"] == Store.open(str(space / "real")).manifest.inputs["translation"]


def test_a_fraction_and_a_file_of_keys_need_no_label(tmp_path: Path, configure: Configure) -> None:
    root = camvid(tmp_path / "data", {"train": 10, "val": 4})
    half = of_camvid(configure, root, tmp_path / "half", "dataset.sampling={fraction: 0.5, splits: [train, val]}")
    run(half, Selection(only="shard"), print)
    keys = [f"train_{number:03d}" for number in range(10)]
    assert keys_of(tmp_path / "half" / "real", "train") == fraction_sample(keys, 0.5)
    assert len(keys_of(tmp_path / "half" / "real", "val")) == 2
    listed = tmp_path / "keys.txt"
    listed.write_text("train_007\n\ntrain_002\n")
    named = of_camvid(configure, root, tmp_path / "named", f"dataset.sampling={{keys: {listed}}}")
    run(named, Selection(only="shard"), print)
    assert keys_of(tmp_path / "named" / "real", "train") == {"train_002", "train_007"}
    # The same keys, written elsewhere and otherwise, are the same choice, and nothing is drawn by a seed.
    again = of_camvid(configure, root, tmp_path / "named", "dataset.sampling={keys: [002.png, train_007], seed: 7}")
    assert steps_of(again)[0].is_done()
    assert not list(tmp_path.glob("*/classes.*"))


def test_sampled_tiles_are_planned_in_the_shards_they_will_be_packed_in(tmp_path: Path, configure: Configure) -> None:
    root = camvid(tmp_path / "data", {"train": 10, "val": 1})
    tiles = ("geometry.mode=tiles", "+geometry.tiles={rows: 2, columns: 2}", "shard.samples_per_shard=5")
    half = ("generate.sampling={fraction: 0.5}", "generate.ks=[4]", "generate.variants=1")
    config = of_camvid(configure, root, tmp_path / "space", *tiles, *half)
    planned = {row.stage: row for row in progress(steps_of(config))}["generate"]
    assert (planned.units, planned.samples) == (4 + 1, 20 + 4)


def test_keys_that_are_not_there_are_the_users_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = camvid(tmp_path / "data", {"train": 3, "val": 1})
    arguments = ["run", "camvid", f"dataset.root={root}", "--workspace", str(tmp_path / "space")]
    assert guarded([*arguments, "--only", "shard", "dataset.sampling={keys: [train_001, val_000]}"]) == 2
    message = capsys.readouterr().err
    assert "dataset.sampling.keys: 1 of 2 keys are not in train: val_000; a key is <split>_<name>" in message
    assert message.count("\n") == 1
    assert not (tmp_path / "space").exists()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("dataset.sampling={}", "give one of rare_class, per_class, keys and fraction, not none"),
        ("dataset.sampling={fraction: 0.5, per_class: 3}", "not per_class and fraction"),
        ("dataset.sampling={fraction: 1.5}", "fraction"),
        ("dataset.sampling={rare_class: {samples: 3, temperature: 0}}", "temperature"),
        ("dataset.sampling={fraction: 0.5, splits: [night]}", "night"),
        ("generate.sampling={fraction: 0.5, splits: [night]}", "night"),
        ("dataset.sampling={keys: nowhere.txt}", "nowhere.txt cannot be read"),
        ("dataset.sampling={keys: []}", "the list is empty"),
        ("generate.sampling={keys: [a, 17]}", "generate.sampling.keys: 17 is no text: write every key in quotes"),
    ],
)
def test_a_wrong_sampling_is_reported_in_one_line(override: str, expected: str) -> None:
    with pytest.raises(UserError) as error:
        load_config("quickstart", [override])
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_class_counts_survive_as_parquet(tmp_path: Path) -> None:
    counts = ClassCounts(("a", "b"), np.array([[1, 2**40, 0], [0, 5, 6]], np.int64))
    write_counts(counts, tmp_path / "counts.parquet")
    again = read_counts(tmp_path / "counts.parquet")
    assert again.keys == counts.keys
    np.testing.assert_array_equal(again.pixels, counts.pixels)
