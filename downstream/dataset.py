"""Stores as a dataset of mmsegmentation."""

from __future__ import annotations

import difflib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from mmengine import fileio

from augment.errors import UserError
from downstream.arms import number_text
from downstream.mixes import SeededIndex
from downstream.mmseg_import import import_mmseg, mmseg_scope
from downstream.results import ArmFailed
from downstream.tar_backend import forget_indexes, member_path
from pipeline.store import JSON, SampleReader, Store, fingerprint, taxonomy_of
from pipeline.store.index import as_text
from pipeline.taxonomies import Taxonomy

import_mmseg()
import mmcv  # noqa: E402 - these are importable only after the line above
from mmseg.datasets import BaseSegDataset  # noqa: E402
from mmseg.datasets.transforms import LoadAnnotations  # noqa: E402

LABEL = "label.png"


@dataclass(frozen=True)
class Part:
    """Labelled samples of one split of a store, or some of them.

    Attributes:
        store_url: the store.
        split: the split.
        where: metadata columns -> the values to keep, as they are or as text.
        sources: keys of real images; only these, or samples that were made from them, are kept. None keeps all.
        labels_url: a store with labels to take instead of its own, so that samples without any are kept too.
        augmented: whether `downstream.augmentation` is applied.
    """

    store_url: str
    split: str
    where: Mapping[str, Sequence[JSON]] = field(default_factory=dict)
    sources: frozenset[str] | None = None
    labels_url: str | None = None
    augmented: bool = False

    def rows(self) -> pa.Table:
        """Index rows of the samples; ArmFailed if none are left."""
        store = Store.open(self.store_url)
        table = store.index()
        if not len(table):
            raise ArmFailed(f"{self.store_url} holds no samples to train or measure on{_why_empty(store)}")
        for column, values in {"split": [self.split], **self.where}.items():
            table = table.filter(self._holding(table, column, values))
        if self.sources is not None:
            # A painted image has the labels of its source.
            column = "source_key" if "source_key" in table.column_names else "key"
            table = table.filter(pc.is_in(table[column], value_set=pa.array(sorted(self.sources), pa.string())))
        labelled = f"{LABEL}:size" in table.column_names
        if labelled and self.labels_url is None:
            table = table.filter(pc.is_valid(table[f"{LABEL}:size"]))
        if not len(table) or not (labelled or self.labels_url):
            chosen = "".join(f", {column} in {list(values)}" for column, values in self.where.items())
            raise ArmFailed(f"{self.store_url}: no labelled samples of split {self.split!r}{chosen}")
        return table

    def _holding(self, table: pa.Table, column: str, values: Sequence[JSON]) -> pa.Array:
        """Which rows hold one of the values."""
        if column not in table.column_names:
            near = difflib.get_close_matches(column, table.column_names, 1)
            hint = f"; they have {near[0]!r}" if near else ""
            raise ArmFailed(f"{self.store_url}: samples have no {column!r} to select by{hint}")
        found, wanted = table[column].to_pylist(), set(map(as_text, values))
        return pa.array([value is not None and bool(wanted & _texts(value)) for value in found], pa.bool_())


def _texts(value: JSON) -> set[str]:
    """How a value may be written: a whole number of a column with decimals also without them."""
    return {as_text(value), *([number_text(value)] if isinstance(value, float) else [])}


def store_digest(store_url: str) -> str:
    """Digest of all bytes in a store, from its receipts."""
    table = Store.open(store_url).receipt_table(["sha256"])
    return fingerprint(dict(zip(table["shard"].to_pylist(), table["sha256"].to_pylist(), strict=True)))


def label_taxonomy(store: Store) -> Taxonomy:
    """Classes of a store's labels; UserError if it has none, or unknown ones."""
    try:
        taxonomy = taxonomy_of(store.manifest)
    except UserError as error:
        raise UserError(f"{store.url}: {error}") from error
    if taxonomy is None:
        raise UserError(f"{store.url} has no classes, so its samples have no labels: choose a labelled store")
    return taxonomy


def require_learnable(part: Part) -> None:
    """Check that the labels of a part show two classes; a training would learn one class with a loss of 0.

    Labels are read until two classes are found, usually in the first one.

    Raises:
        ArmFailed: they show one class or none.
    """
    store = Store.open(part.labels_url or part.store_url)
    ignored, reader = label_taxonomy(store).ignore_index, SampleReader(store)
    found: set[int] = set()
    for key in part.rows()["key"].to_pylist():
        label = reader.read(key).label
        found |= set() if label is None else set(np.unique(label).tolist()) - {ignored}
        if len(found) > 1:
            return
    classes = label_taxonomy(store).classes
    shown = f"the class {classes[found.pop()]!r} alone" if found else "no labelled pixel"
    raise ArmFailed(
        f"{part.store_url}: the labels of split {part.split!r} show {shown}, so there is nothing to learn: "
        "check the masks and the file of classes; for a curated store, check what curate kept"
    )


def _why_empty(store: Store) -> str:
    """Why an empty store lost its samples, as the end of a sentence."""
    reasons: Counter[str] = Counter()
    for receipt in store.receipts():
        reasons.update({**receipt.drop_reasons, **receipt.failure_reasons})
    return ": " + ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3)) if reasons else ""


class LoadLabel(LoadAnnotations):
    """mmsegmentation's label loader without its cut of 16-bit ids to 8 bits."""

    def _load_seg_map(self, results: dict[str, Any]) -> None:
        label = mmcv.imfrombytes(fileio.get(results["seg_map_path"]), flag="unchanged", backend=self.imdecode_backend)
        results["gt_seg_map"] = label
        results["seg_fields"].append("gt_seg_map")


class StoreDataset(BaseSegDataset):
    """Parts of stores, one after the other, as a dataset with paths for the file backend ``lumen``.

    An item is an index, or a `SeededIndex`: then every random choice of the transforms comes from its seed, whichever
    process makes it.

    Args:
        parts: parts to read; all stores share one taxonomy.
        pipeline: mmsegmentation transforms.
        test_mode: whether a failing transform raises instead of taking another sample.

    Raises:
        UserError: a part has no samples, or taxonomies differ.
    """

    def __init__(self, parts: Sequence[Part], pipeline: Sequence[Mapping[str, Any]], test_mode: bool = False) -> None:
        self.parts = tuple(parts)
        taxonomies = {part.store_url: label_taxonomy(Store.open(part.store_url)) for part in parts}
        if len(set(taxonomies.values())) != 1:
            named = ", ".join(f"{url}: {taxonomy.name}" for url, taxonomy in taxonomies.items())
            raise UserError(f"stores with different classes cannot be mixed: {named}")
        taxonomy = next(iter(taxonomies.values()))
        self.ranges: tuple[range, ...] = ()
        forget_indexes()
        with mmseg_scope():
            super().__init__(
                metainfo={"classes": taxonomy.classes, "palette": [list(c) for c in taxonomy.palette]},
                ignore_index=taxonomy.ignore_index,
                pipeline=list(pipeline),
                test_mode=test_mode,
                serialize_data=False,
            )

    def load_data_list(self) -> list[dict[str, Any]]:
        """One entry per sample; sets `ranges`, the entries of each part."""
        entries: list[dict[str, Any]] = []
        for part in self.parts:
            image = Store.open(part.store_url).manifest.image_format
            start = len(entries)
            entries += [
                {
                    "img_path": member_path(part.store_url, key, image),
                    "seg_map_path": member_path(part.labels_url or part.store_url, key, LABEL),
                    "label_map": self.label_map,
                    "reduce_zero_label": self.reduce_zero_label,
                    "seg_fields": [],
                    "augmented": part.augmented,
                }
                for key in part.rows()["key"].to_pylist()
            ]
            self.ranges += (range(start, len(entries)),)
        return entries

    def __getitem__(self, item: int | SeededIndex) -> dict[str, Any]:
        """The sample after the transforms: `inputs` uint8 [3, H, W] in BGR order, and `data_samples`."""
        if isinstance(item, SeededIndex):
            with _seeded(item.seed):
                return super().__getitem__(item.sample)
        return super().__getitem__(item)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the two generators of mmcv's transforms, and restore them afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
