"""Small stores with learnable content: coloured regions, one colour for each class."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from downstream.comparison import comparison_table, write_table
from downstream.evaluation import SCHEMA
from pipeline.store import Manifest, Sample, SampleReader, Store
from pipeline.taxonomies import CAMVID
from tests.downstream.runs import runs

HEIGHT, WIDTH = 32, 48


def scene(seed: int, tint: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Sky above, road below, a building or a car in between, some pixels unlabelled; noise in every pixel."""
    rng = np.random.default_rng(seed)
    label = np.full((HEIGHT, WIDTH), CAMVID.classes.index("sky"), np.uint8)
    horizon = int(rng.integers(10, 20))
    label[horizon:] = CAMVID.classes.index("road")
    left = int(rng.integers(0, WIDTH - 20))
    label[horizon - 8 : horizon + 6, left : left + 18] = CAMVID.classes.index(str(rng.choice(["building", "car"])))
    image = np.asarray(CAMVID.palette, np.int64)[label] + rng.integers(-20, 21, (HEIGHT, WIDTH, 3)) + tint
    label[:, :2] = CAMVID.ignore_index
    return image.clip(0, 255).astype(np.uint8), label


@pytest.fixture(scope="session")
def real_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """24 training and 8 validation samples."""
    url = str(tmp_path_factory.mktemp("stores") / "real")
    store = Store.create(url, Manifest("real", CAMVID.name, {"height": HEIGHT, "width": WIDTH}))
    for split, seeds in (("train", range(24)), ("val", range(100, 108))):
        samples = (
            Sample(f"{split}-{seed}", *scene(seed), metadata={"split": split, "dataset": "drawn"}) for seed in seeds
        )
        store.write_shard(f"{split}-000000", samples)
    return url


@pytest.fixture(scope="session")
def synthetic_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two variants at k = 1 and 5 of 6 training and 4 validation samples; at k = 1 variants differ more."""
    url = str(tmp_path_factory.mktemp("stores") / "synthetic")
    store = Store.create(url, Manifest("synthetic", CAMVID.name, {"height": HEIGHT, "width": WIDTH}))
    for split, seeds in (("train", range(6)), ("val", range(100, 104))):
        for k in (1, 5):
            store.write_shard(f"{split}-k{k:02d}-000000", list(_variants(split, seeds, k)))
    return url


def _variants(split: str, seeds: range, k: int) -> Iterator[Sample]:
    for seed in seeds:
        for variant in range(2):
            image, label = scene(seed, tint=variant * (60 if k == 1 else 10))
            metadata = {"split": split, "source_key": f"{split}-{seed}", "k": k, "variant": variant}
            yield Sample(f"{split}-{seed}_k{k:02d}_v{variant:02d}", image, label, metadata=metadata)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors are slower on several threads, and sums depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def workspace(real_store: str, synthetic_store: str, tmp_path: Path) -> Path:
    """A finished run: stores, tables and records as the stages leave them."""
    root = tmp_path / "a run"
    root.mkdir()
    (root / "real").symlink_to(real_store)
    (root / "synthetic").symlink_to(synthetic_store)
    rng = np.random.default_rng(0)
    layouts = Store.create(str(root / "layouts"), Manifest("layouts", "camvid", {"height": 32, "width": 48}))
    keys = SampleReader(Store.open(real_store)).keys
    layouts.write_shard(
        "all-000000", [Sample(key, layout=rng.normal(size=(5, 4, 6)).astype(np.float16)) for key in sorted(keys)]
    )
    write_table(comparison_table(runs()), root / "comparison.parquet")
    rows = [
        {"k": 1, "judge_miou": 0.1111, "alignment": 0.2468, "diversity": 0.3579},
        {"k": 5, "judge_miou": 0.2222, "alignment": 0.8642, "diversity": 0.0531},
    ]
    write_table(SCHEMA.empty_table().from_pylist(rows, SCHEMA), root / "evaluation.parquet")
    (root / "basis").mkdir()
    facts = {"backbone": "dinov2-vits14", "explained_variance": {"used": {"1": 0.5541, "5": 0.7575}}}
    (root / "basis" / "artifact.json").write_text(json.dumps({"digest": "d", "facts": facts}))
    return root


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Folder for one training run."""
    return tmp_path / "run"
