"""Stores to export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.store import Manifest, Sample, SampleReader, Store
from pipeline.store.codec import ImageFormat
from pipeline.taxonomies import CITYSCAPES, Taxonomy

HEIGHT, WIDTH = 24, 40


def write_store(
    folder: Path,
    samples: Sequence[Sample],
    taxonomy: str | None = "cityscapes",
    image_format: ImageFormat = "png",
    kind: str = "real",
) -> Store:
    """A store of these samples in one shard."""
    store = Store.create(str(folder), Manifest(kind, taxonomy, {}, {}, image_format))
    store.write_shard("all-000000", samples)
    return store


def sample(key: str, split: str, taxonomy: Taxonomy = CITYSCAPES, objects: int = 5, **metadata: object) -> Sample:
    """Noise as image, blocks of classes and ignored ones as label, and overlapping rectangles as objects."""
    draws = np.random.default_rng(list(key.encode()))
    ids = np.array([*range(len(taxonomy)), taxonomy.ignore_index], np.uint8)
    label = np.kron(draws.choice(ids, (HEIGHT // 4, WIDTH // 4)), np.ones((4, 4), np.uint8))
    instances = np.zeros((HEIGHT, WIDTH), np.uint16)
    for number in range(1, objects + 1):
        top, left = draws.integers(HEIGHT - 8), draws.integers(WIDTH - 12)
        instances[top : top + 8, left : left + 12] = number
        label[top : top + 8, left : left + 12] = draws.integers(11, 19) if taxonomy is CITYSCAPES else 0
    image = draws.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    facts = {"medium": "photo", "weather": "rain", "dataset": "made", "split": split, "source": f"{key}.png"}
    return Sample(key, image, label, instances=instances if objects else None, metadata={**facts, **metadata})  # type: ignore


def read(folder: str | Path) -> dict[str, Sample]:
    """All samples of a store by key."""
    reader = SampleReader(Store.open(str(folder)))
    return {key: reader.read(key) for key in reader.keys}
