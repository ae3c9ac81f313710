"""The store that is exported, and the file names of its samples."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from PIL import Image

from augment.errors import UserError
from pipeline.datasets.thinning import thinned
from pipeline.store import Sample, SampleReader, Store, taxonomy_of
from pipeline.store.ai_mark import PAINTED
from pipeline.store.codec import INSTANCES, LABEL, METADATA, decode, encode_image
from pipeline.taxonomies import Taxonomy

# Metadata that names the dataset of a sample, or of its source.
DATASET_COLUMNS = ("dataset", "source_dataset")


@dataclass(frozen=True)
class Item:
    """A sample of the store.

    ``number`` is its place among all samples of its split, exported or not, by key and from 1. ``name`` is that of its
    files, without suffix, unique in its split. ``labelled`` says whether it has a label.
    """

    key: str
    split: str
    number: int
    dataset: str
    name: str
    labelled: bool


class ExportedStore:
    """Reads samples of a store; safe to use from several threads.

    Raises UserError if the store has no images, or has labels without a taxonomy.
    """

    def __init__(self, url: str) -> None:
        store = Store.open(url)
        self.url, self._manifest = store.url, store.manifest
        self.reader = SampleReader(store, [METADATA, LABEL, INSTANCES, self.image_format])
        if not self._holds(self.image_format):
            raise UserError(f"{self.url} holds no images: export a store of images, such as real or synthetic")
        if self._holds(LABEL) and self._manifest.taxonomy is None:
            raise UserError(f"{self.url} has labels but names no taxonomy, so their classes are unknown")

    @property
    def image_format(self) -> str:
        """The extension of the images."""
        return self._manifest.image_format

    @cached_property
    def taxonomy(self) -> Taxonomy | None:
        """The classes of the labels; None without labels."""
        return taxonomy_of(self._manifest)

    @property
    def has_instances(self) -> bool:
        """Whether any sample has an instance map."""
        return self._holds(INSTANCES)

    def items(self) -> list[Item]:
        """All samples that have an image, sorted by split and key, named by their key.

        If all keys begin with the name of their split and an underscore, as those from datasets do, names leave this
        prefix out: the dataset readers add it again. Raises UserError if the metadata of a sample names no split.
        """
        rows = _rows(self.reader.index, self.image_format)
        bare = [key for key, split, *_ in rows if split is None]
        if bare:
            raise UserError(f"{self.url}: {len(bare)} samples have no 'split' in their metadata, such as {bare[0]}")
        prefixed = all(key.startswith(f"{split}_") and key != f"{split}_" for key, split, *_ in rows)
        counts: Counter[str] = Counter()
        items = []
        for key, split, dataset, labelled in sorted(rows, key=lambda row: (str(row[1]), row[0])):
            counts[str(split)] += 1
            name = key.removeprefix(f"{split}_") if prefixed else key
            number, origin = counts[str(split)], dataset or self._manifest.kind
            items.append(Item(key, str(split), number, origin, name, labelled))
        return items

    def read(self, key: str) -> tuple[Sample, dict[str, bytes]]:
        """Label, instances and metadata of a sample, and the bytes of all its members, by extension.

        All members are read in one request, and the image is not decoded. Raises CorruptStore.
        """
        members = self.reader.read_members(key)
        return decode(key, {name: data for name, data in members.items() if name != self.image_format}), members

    def as_png(self, image: bytes) -> bytes:
        """The bytes of a PNG file with the pixels of a stored image; its own bytes if it is a PNG."""
        if self.image_format == "png":
            return image
        with Image.open(io.BytesIO(image)) as file:
            return encode_image(np.asarray(file), "png", painted=self._manifest.kind in PAINTED)

    def _holds(self, extension: str) -> bool:
        return f"{extension}:size" in self.reader.index.column_names


def select(items: Sequence[Item], splits: Sequence[str], limit: int | None) -> list[Item]:
    """The items of these splits (all if empty), each split thinned to at most ``limit``.

    Raises UserError for a split that the store does not have, and for a store without images.
    """
    by_split: dict[str, list[Item]] = {}
    for item in items:
        by_split.setdefault(item.split, []).append(item)
    has = f"the store has {', '.join(by_split)}" if by_split else "the store has no images"
    if unknown := [split for split in splits if split not in by_split]:
        raise UserError(f"--split {unknown[0]}: {has}")
    if not by_split:
        raise UserError(f"nothing to export: {has}")
    return [item for split in by_split if not splits or split in splits for item in thinned(by_split[split], limit)]


def _rows(index: pa.Table, image_format: str) -> list[tuple[str, str | None, str | None, bool]]:
    absent = [None] * len(index)
    columns = {name: index[name].to_pylist() for name in index.column_names if name in ("split", *DATASET_COLUMNS)}
    own, other = (columns.get(name, absent) for name in DATASET_COLUMNS)
    datasets = [one or another for one, another in zip(own, other, strict=True)]
    keys, sizes = index["key"].to_pylist(), index[f"{image_format}:size"].to_pylist()
    label_column = f"{LABEL}:size"
    labels = index[label_column].to_pylist() if label_column in index.column_names else absent
    rows = zip(keys, columns.get("split", absent), datasets, sizes, labels, strict=True)
    return [(key, split, dataset, label is not None) for key, split, dataset, size, label in rows if size is not None]
