"""A user's own reader is a kind of dataset like any other, in every process."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from augment.errors import UserError
from pipeline.config.compose import load_config
from pipeline.datasets import DatasetOptions, RecordError, kinds, open_dataset, register_dataset, registry
from pipeline.datasets.registry import reader_inputs
from pipeline.engine import WorkUnit
from pipeline.inspection.subject import dataset_subject, subjects_of
from pipeline.stages.dataset_source import DatasetSource, plan_units
from pipeline.store import Sample
from tests.pipeline.datasets.own_reader import Scans
from tests.pipeline.datasets.trees import random_image, save

KIND = "tests.pipeline.datasets.own_reader:Scans"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, number in (("train", 0), ("train", 1), ("val", 2)):
        save(tmp_path / split / f"{number}.jpg", random_image(rng, 32, 48))
        save(tmp_path / split / f"{number}.png", rng.integers(0, 2, (32, 48), dtype=np.uint8))
    return tmp_path


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})
    register_dataset("scans", Scans)


def read(source: DatasetSource, unit: WorkUnit) -> list[str]:
    return [sample.key for sample in source.read(unit) if isinstance(sample, Sample) and sample.label is not None]


@pytest.mark.parametrize("kind", [KIND, "scans"])
@pytest.mark.usefixtures("registered")
def test_another_process_reads_what_a_users_reader_lists(kind: str, root: Path) -> None:
    options = load_config("own", [f"dataset.kind={kind}", f"dataset.root={root}"]).dataset
    # Without the name, which only this process knows.
    assert options.kind == KIND
    dataset = options.open()
    listing = options.list_images(dataset)
    assert {split: [record.key for record in found] for split, found in listing.records.items()} == {
        "train": ["train_0", "train_1"],
        "val": ["val_2"],
    }
    [unit, _] = plan_units(listing.records, 2)
    source = DatasetSource(options.kind, str(root), decoding=options.decoding)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(read, source, unit).result() == ["train_0", "train_1"]


@pytest.mark.parametrize("kind", [KIND, "scans"])
@pytest.mark.usefixtures("registered")
def test_a_users_kind_is_inspected(kind: str, root: Path) -> None:
    assert list(subjects_of(kind, str(root))[kind].units) == ["train", "val"]


def test_an_unknown_id_in_a_users_mask_is_a_fault_of_one_image(root: Path) -> None:
    save(root / "train" / "0.png", np.full((32, 48), 7, np.uint8))
    dataset = open_dataset(KIND, root)
    with pytest.raises(RecordError, match=r"unknown label id: .*train/0\.png has ids \[7\]"):
        dataset.load(dataset.records("train")[0])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("places", r"'places' is no kind of dataset: give one of .*coco-stuff, coco, or the import path .*:MyDataset"),
        ("no_such.module:Mine", r"no_such\.module:Mine cannot be imported \(ModuleNotFoundError: .*PYTHONPATH"),
        ("math:sine", r"math:sine cannot be imported \(AttributeError: .*module:Class"),
        ("math:pi", r"math:pi is a float and not callable: name a class"),
    ],
)
def test_a_kind_that_nothing_reads_is_one_clear_line(kind: str, message: str, root: Path) -> None:
    with pytest.raises(UserError, match=rf"^dataset\.kind: .*{message}") as error:
        load_config("own", [f"dataset.kind={kind}", f"dataset.root={root}"])
    assert "\n" not in str(error.value)


def test_a_run_that_is_done_is_read_without_its_reader(root: Path) -> None:
    done = load_config("own", ["dataset.kind=no_such.module:Mine", f"dataset.root={root}"], done=True)
    assert done.dataset.kind == "no_such.module:Mine"


@pytest.mark.usefixtures("registered")
def test_only_a_reader_that_workers_can_import_is_registered() -> None:
    class Local(Scans):
        """In no module."""

    with pytest.raises(UserError, match="define it at the top of a module"):
        register_dataset("local", Local)
    with pytest.raises(UserError, match="built-in"):
        register_dataset("folder", Scans)
    with pytest.raises(UserError, match="define it at the top of a module"):
        register_dataset("lambda", lambda tree: Scans(tree, "other"))
    with pytest.raises(UserError, match="cannot be imported"):
        register_dataset("absent", "no_such.module:Mine")
    assert kinds()[-1] == "scans"


def test_what_is_no_reader_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match="builtins:str gives a str: expected a subclass"):
        DatasetOptions(kind="builtins:str", root=str(root)).open()


def test_a_changed_reader_makes_another_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "my_reader.py"
    module.write_text("raise RuntimeError('a digest needs no import')\n")
    before = reader_inputs("my_reader:Mine")
    module.write_text("raise RuntimeError('other source')\n")
    assert reader_inputs("my_reader:Mine") != before
    assert reader_inputs("cityscapes") == {}


@pytest.mark.usefixtures("registered")
def test_a_registered_name_is_read_in_other_processes_too(root: Path) -> None:
    assert dataset_subject("scans", str(root)).source.kind == KIND  # type: ignore[attr-defined]


def test_a_reader_that_takes_no_tree_is_one_line(root: Path) -> None:
    with pytest.raises(UserError, match=r"reader os:getcwd cannot be called with \(Tree\)"):
        open_dataset("os:getcwd", root)
