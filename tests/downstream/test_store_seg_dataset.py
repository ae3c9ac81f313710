"""Stores in hand-written configs and in other tools, by the examples of docs/using-stores.md."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

import mmseg
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from augment.errors import UserError
from downstream.dataset import LoadLabel
from downstream.mmseg_import import mmseg_scope
from downstream.store_seg_dataset import LoadAnnotations, StoreSegDataset
from pipeline.export import export_store
from pipeline.store import Manifest, Sample, SampleReader, Store
from pipeline.taxonomies import CAMVID, taxonomy_entry, taxonomy_of_classes

from .conftest import HEIGHT, WIDTH

PAGE = Path(__file__).parents[2] / "docs" / "using-stores.md"

CONFIGS = Path(next(iter(mmseg.__path__)), ".mim", "configs")


def example(heading: str, store: str) -> str:
    """The Python code under a heading of the page, for this store."""
    section = PAGE.read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return code.replace("STORE", store).replace("num_workers=2", "num_workers=0").replace("(96, 128)", "(32, 48)")


def config_of(store: str, folder: Path) -> Config:
    """The config of the page, for a training of seconds."""
    path = folder / "on_store.py"
    path.write_text(example("A config of mmsegmentation", store).replace("CONFIGS", str(CONFIGS)))
    config = Config.fromfile(path)
    config.merge_from_dict(
        {
            "work_dir": str(folder / "log"),
            "experiment_name": uuid.uuid4().hex,
            "train_dataloader.persistent_workers": False,
            "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 3, "val_interval": 3},
            "default_hooks.checkpoint": None,
            "randomness": {"seed": 0},
            "model.backbone.embed_dims": 16,
            "model.decode_head.in_channels": [16, 32, 80, 128],
            "model.decode_head.channels": 16,
        }
    )
    config.default_hooks.pop("visualization")
    return config


def trained(config: Config) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    runner = Runner.from_cfg(config)
    runner.train()
    return runner.model.state_dict(), runner.val_loop.run()


def test_a_hand_written_config_trains_on_a_store_as_on_its_exported_folder(real_store: str, tmp_path: Path) -> None:
    config = config_of(real_store, tmp_path)
    weights, metrics = trained(config)
    export_store(real_store, str(tmp_path / "exported"), "folder")
    meta = {"classes": CAMVID.classes, "palette": [list(color) for color in CAMVID.palette]}
    for loader, split in ((config.train_dataloader, "train"), (config.val_dataloader, "val")):
        loader.dataset = {
            "type": "BaseSegDataset",
            "data_root": str(tmp_path / "exported"),
            "data_prefix": {"img_path": f"images/{split}", "seg_map_path": f"masks/{split}"},
            "img_suffix": ".png",
            "metainfo": meta,
            "pipeline": loader.dataset.pipeline,
            "test_mode": split == "val",
        }
    config.experiment_name = uuid.uuid4().hex
    expected, expected_metrics = trained(config)
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    assert metrics == expected_metrics and np.isfinite(metrics["mIoU"])


def test_items_are_those_of_the_folder_dataset_in_its_order(real_store: str, tmp_path: Path) -> None:
    from mmseg.datasets import BaseSegDataset

    export_store(real_store, str(tmp_path / "exported"), "folder")
    pipeline = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, {"type": "PackSegInputs"}]
    ours = StoreSegDataset(real_store, "train", pipeline)
    prefix = {
        "img_path": str(tmp_path / "exported/images/train"),
        "seg_map_path": str(tmp_path / "exported/masks/train"),
    }
    with mmseg_scope():
        theirs = BaseSegDataset(
            data_prefix=prefix, img_suffix=".png", pipeline=pipeline, metainfo={"classes": CAMVID.classes}
        )
    assert len(ours) == len(theirs) == 24
    assert ours.metainfo["classes"] == theirs.metainfo["classes"]
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one["inputs"], other["inputs"])
        assert torch.equal(one["data_samples"].gt_sem_seg.data, other["data_samples"].gt_sem_seg.data)


@pytest.fixture
def wide_store(tmp_path: Path) -> str:
    """One image with labels of 300 classes, which take 16 bits."""
    classes = taxonomy_of_classes("wide", [f"class {number}" for number in range(300)])
    store = Store.create(str(tmp_path / "wide"), Manifest("real", taxonomy_entry(classes), {"height": 16, "width": 24}))
    label = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24) % 300
    label[0, 0] = classes.ignore_index
    image = np.zeros((16, 24, 3), np.uint8)
    store.write_shard("train-000000", [Sample("a", image, label, metadata={"split": "train"})])
    return store.url


class Subclass(LoadAnnotations):
    """A loader of a user's own, which calls mmsegmentation's."""


class WideSubclass(LoadLabel):
    """A loader of a user's own, which keeps 16 bits."""


def items(store: str, loader: Any) -> StoreSegDataset:
    return StoreSegDataset(store, "train", [{"type": "LoadImageFromFile"}, loader, {"type": "PackSegInputs"}])


@pytest.mark.parametrize("loader", ["LoadAnnotations", "mmseg.LoadAnnotations", LoadAnnotations, WideSubclass])
def test_labels_of_300_classes_are_read_whole_however_the_loader_is_written(wide_store: str, loader: Any) -> None:
    label = items(wide_store, {"type": loader})[0]["data_samples"].gt_sem_seg.data[0].numpy()
    expected = np.arange(16 * 24).reshape(16, 24) % 300
    assert label[0, 0] == 65535 and np.array_equal(label.ravel()[1:], expected.ravel()[1:])


def test_loaders_that_change_ids_are_refused_in_one_line(wide_store: str, real_store: str) -> None:
    plain = {"type": "LoadAnnotations"}
    for loader in ({"type": Subclass}, Subclass(), LoadAnnotations()):
        with pytest.raises(UserError, match="would cut labels of 16 bits to 8: use dict") as error:
            items(wide_store, loader)
        assert "\n" not in str(error.value)
        # Of 8 bits they are right.
        found, expected = (items(real_store, one)[0]["data_samples"].gt_sem_seg.data for one in (loader, plain))
        assert torch.equal(found, expected)
    with pytest.raises(UserError, match="reduce_zero_label=True, which would make the first class ignored"):
        items(real_store, {"type": "LoadAnnotations", "reduce_zero_label": True})


def run_example(heading: str, store: str) -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "example"}
    exec(compile(example(heading, store), heading, "exec"), found)
    return found


def known_pairs(store: str) -> dict[bytes, bytes]:
    """The label of each training image, by their bytes."""
    reader = SampleReader(Store.open(store))
    pairs = {}
    for sample in reader.samples("train"):
        assert sample.image is not None and sample.label is not None
        pairs[sample.image.tobytes()] = sample.label.tobytes()
    return pairs


def test_plain_pytorch_reads_pairs(real_store: str) -> None:
    found = run_example("PyTorch", real_store)
    assert found["images"].shape == (4, 3, HEIGHT, WIDTH) and found["labels"].shape == (4, HEIGHT, WIDTH)
    pairs = known_pairs(real_store)
    for image, label in zip(found["images"], found["labels"], strict=True):
        pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        assert pairs[pixels.tobytes()] == label.numpy().astype(np.uint8).tobytes()


@pytest.mark.parametrize(("heading", "package"), [("WebDataset", "webdataset"), ("Hugging Face datasets", "datasets")])
def test_webdataset_readers_take_the_tars(
    real_store: str, heading: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    pytest.importorskip(package)
    found = run_example(heading, real_store)
    image, label = (np.asarray(found[name]) for name in ("image", "label"))
    assert known_pairs(real_store)[image.tobytes()] == label.tobytes()
    assert found["facts"]["split"] == "train"
