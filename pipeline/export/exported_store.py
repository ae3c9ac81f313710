"""The store that is exported, and what each of its samples is called outside of it."""

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
from pipeline.store.codec import INSTANCES, LABEL, METADATA, decode, encode_image
from pipeline.taxonomies import Taxonomy

# What a sample's metadata calls the set that it is of, or that its source is of.
DATASET_COLUMNS = ("dataset", "source_dataset")


@dataclass(frozen=True)
class Item:
    """A sample of the store.

    ``number`` is its place among all samples of its split, by key and from 1, whichever of them are exported.
    ``name`` is that of its files, without suffix, unique in its split. ``labelled`` says whether it has a label.
    """

    key: str
    split: str
    number: int
    dataset: str
    name: str
    labelled: bool


class Source:
    """Reads samples of a store; safe to use from several threads.

    Raises UserError where the store has no images, or labels that no taxonomy explains.
    """

    def __init__(self, url: str) -> None:
        self.store = Store.open(url)
        self.reader = SampleReader(self.store, [METADATA, LABEL, INSTANCES, self.image_format])
        if not self._holds(self.image_format):
            raise UserError(f"{self.store.url} holds no images: export a store of images, such as real or synthetic")
        if self._holds(LABEL) and self.store.manifest.taxonomy is None:
            raise UserError(f"{self.store.url} has labels but names no taxonomy, so that nobody knows their classes")

    @property
    def image_format(self) -> str:
        """The extension of the images."""
        return self.store.manifest.image_format

    @cached_property
    def taxonomy(self) -> Taxonomy | None:
        """What the labels mean; None where there are none."""
        return taxonomy_of(self.store.manifest)

    @property
    def has_instances(self) -> bool:
        """Whether any sample has an instance map."""
        return self._holds(INSTANCES)

    def items(self) -> list[Item]:
        """All samples that have an image, sorted by split and key, named by their key.

        A key that begins with the split's name and an underscore, as do all that come from datasets, leaves that
        out: readers put it before the file's name again. So do all keys of a store or none.
        Raises UserError where a sample does not say its split.
        """
        rows = _rows(self.reader.index, self.image_format)
        bare = [key for key, split, *_ in rows if split is None]
        if bare:
            raise UserError(
                f"{self.store.url}: {len(bare)} samples have no 'split' in their metadata, such as {bare[0]}"
            )
        prefixed = all(key.startswith(f"{split}_") and key != f"{split}_" for key, split, *_ in rows)
        counts: Counter[str] = Counter()
        items = []
        for key, split, dataset, labelled in sorted(rows, key=lambda row: (str(row[1]), row[0])):
            counts[str(split)] += 1
            name = key.removeprefix(f"{split}_") if prefixed else key
            number, origin = counts[str(split)], dataset or self.store.manifest.kind
            items.append(Item(key, str(split), number, origin, name, labelled))
        return items

    def read(self, key: str) -> tuple[Sample, dict[str, bytes]]:
        """Label, instances and metadata of a sample, and the bytes of all its members, by extension.

        All are read at once, and the image is not decoded. Raises CorruptStore.
        """
        members = self.reader.read_members(key)
        return decode(key, {name: data for name, data in members.items() if name != self.image_format}), members

    def as_png(self, image: bytes) -> bytes:
        """The file of an image of the store as a PNG file: itself, or the same pixels."""
        if self.image_format == "png":
            return image
        with Image.open(io.BytesIO(image)) as file:
            return encode_image(np.asarray(file), "png")

    def _holds(self, extension: str) -> bool:
        return f"{extension}:size" in self.reader.index.column_names


def select(items: Sequence[Item], splits: Sequence[str], limit: int | None) -> list[Item]:
    """The items of these splits, or of all where none is named, each thinned to at most ``limit``.

    Raises UserError for a split that the store does not have, and where there is nothing to export.
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
