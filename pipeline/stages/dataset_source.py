"""Reading a dataset on disk for a store: units of its images, and a source that brings them to the working size."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache

from augment.errors import UserError
from pipeline.datasets import (
    Dataset,
    Decoding,
    Folder,
    Frame,
    Geometry,
    KindOptions,
    Record,
    RecordError,
    View,
    open_dataset,
    show,
)
from pipeline.datasets.record import Label
from pipeline.datasets.table import BOXES, CAPTIONS
from pipeline.datasets.thinning import evenly_spaced
from pipeline.engine import Failed, Plan, PlanOnDemand, WorkUnit
from pipeline.store import JSON, LABELLED, Sample, fingerprint
from pipeline.store.canonical import list_fingerprint
from pipeline.taxonomies import Taxonomy, mapping_table, named_taxonomy, translate

# Metadata: the region of its image that a sample shows, in pixels of the file, and its place in a sample with bars.
REGION, CONTENT = "region", "content"


def select(records: Mapping[str, Sequence[Record]], limit: Mapping[str, int]) -> dict[str, list[Record]]:
    """The records of each split, evenly thinned to at most `limit[split]`."""
    return {split: list(evenly_spaced(found, limit.get(split))) for split, found in records.items()}


def images_per_shard(samples_per_shard: int, geometry: Geometry | None) -> int:
    """How many images fill a shard with samples; the tiles of one image always stay together."""
    return max(1, samples_per_shard // (geometry.views_per_image if geometry else 1))


def plan_units(
    records: Mapping[str, Sequence[Record]], samples_per_shard: int, geometry: Geometry | None = None
) -> Plan:
    """One unit for every `samples_per_shard` samples of a split, in the order of their records.

    A unit carries its records, so that no worker lists the folder.
    """
    images = images_per_shard(samples_per_shard, geometry)
    starts = [(split, start) for split in records for start in range(0, len(records[split]), images)]

    def shard(split: str, start: int) -> str:
        return f"{split}-{start // images:06d}"

    def unit(row: int) -> WorkUnit:
        split, start = starts[row]
        chunk = records[split][start : start + images]
        keys = (key for record in chunk for key in (geometry.keys(record.key) if geometry else [record.key]))
        return WorkUnit(shard(split, start), tuple(keys), {"records": [record.to_json() for record in chunk]})

    return PlanOnDemand.over([shard(split, start) for split, start in starts], unit)


def listing_digest(records: Mapping[str, Sequence[Record]]) -> str:
    """Sha256 over all records, which identifies a dataset wherever it is stored.

    The content of files does not count: a file that is fixed after it was quarantined keeps its place.
    """
    return list_fingerprint(record.to_json() for items in records.values() for record in items)


def mask_values(dataset: Dataset) -> dict[str, JSON]:
    """The values in the masks of a plain folder, for a manifest: other masks may have the same classes."""
    classes = dataset.classes if isinstance(dataset, Folder) else None
    return {} if classes is None else {"masks": {"values": list(classes.values), "ignored": classes.ignored}}


def translation(own: Taxonomy | None, target: Taxonomy | None) -> dict[str, JSON]:
    """The translation of labels, for a manifest; empty if they are not translated.

    Raises:
        UserError: there are no labels, or their classes have no counterpart in the target.
    """
    if target is None or own == target:
        return {}
    if own is None:
        raise UserError(f"dataset.taxonomy={target.name}: the dataset has no labels to translate; leave it null")
    try:
        table = mapping_table(own, target)
    except UserError as error:
        raise UserError(f"dataset.taxonomy={target.name}: {error}") from error
    return {"translation": {"from": own.name, "table": fingerprint(table.tolist())}}


@cache
def opened(kind: str, root: str, options: KindOptions | None, decoding: Decoding) -> Dataset:
    """The dataset, whose folders are listed once in each process."""
    return open_dataset(kind, root, options, decoding)


@dataclass(frozen=True)
class DatasetSource:
    """Reads the records of a unit from a dataset on disk, and brings them to the working size.

    Attributes:
        kind, root: of the dataset.
        taxonomy: name of the classes to translate labels into; None keeps the dataset's own.
        options: options of the dataset's kind.
        geometry: how frames come to the working size; None keeps their size on disk.
        decoding: how image files are decoded.
    """

    kind: str
    root: str
    taxonomy: str | None = None
    options: KindOptions | None = None
    geometry: Geometry | None = None
    decoding: Decoding = field(default_factory=Decoding)

    @property
    def keys_a_read(self) -> int:
        """Samples of one image, which is decoded once for all of them."""
        return self.geometry.views_per_image if self.geometry else 1

    def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
        """Every sample of the unit; an image that cannot be read gives a failure for each sample that shows it."""
        dataset = opened(self.kind, self.root, self.options, self.decoding)
        rows = unit.params["records"]
        assert isinstance(rows, Sequence)
        wanted = set(unit.keys)
        for row in rows:
            keys = [key for key in self._keys(row["key"]) if key in wanted]  # type: ignore
            if not keys:
                continue
            record = Record.from_json(row)  # type: ignore
            try:
                yield from (sample for sample in self._samples(dataset, record) if sample.key in wanted)
            except RecordError as error:
                yield from (Failed(key, str(error), traceback.format_exc()) for key in keys)

    def metadata(self, dataset: Dataset, record: Record) -> dict[str, JSON]:
        """What is known about an image, and where it comes from."""
        known: dict[str, JSON] = {CAPTIONS: list(record.captions)} if record.captions else {}
        if record.label is None and dataset.taxonomy is not None:
            known[LABELLED] = False
        return {**record.attributes, **known, "dataset": dataset.name, "split": record.split, "source": record.image}

    def _keys(self, key: str) -> list[str]:
        return self.geometry.keys(key) if self.geometry else [key]

    def _translated(self, dataset: Dataset, label: Label | None) -> Label | None:
        # A dataset may have to read thousands of files before it knows its own classes.
        if self.taxonomy is None or label is None or dataset.taxonomy is None:
            return label
        return translate(label, dataset.taxonomy, named_taxonomy(self.taxonomy))

    def _samples(self, dataset: Dataset, record: Record) -> Iterator[Sample]:
        frame = dataset.load(record, self.geometry.at_least if self.geometry else None)
        frame = replace(frame, label=self._translated(dataset, frame.label))
        metadata = self.metadata(dataset, record)
        if self.geometry is None:
            yield sample_of(record.key, frame, metadata)
            return
        for view in self.geometry.views(record.key, frame.full_size):
            shown = show(frame, view, self.geometry)
            yield sample_of(view.key, shown, {**metadata, **position(view, self.geometry)})


@dataclass(frozen=True)
class LabelSource(DatasetSource):
    """Reads the labels alone, at their size on disk; a sample without a label stays without one."""

    def _samples(self, dataset: Dataset, record: Record) -> Iterator[Sample]:
        yield Sample(record.key, label=self._translated(dataset, dataset.annotations(record).label))


def position(view: View, geometry: Geometry) -> dict[str, JSON]:
    """The place of a sample in its source, for its metadata; empty if it shows the whole, stretched."""
    if geometry.mode == "resize":
        return {}
    content: dict[str, JSON] = {CONTENT: asdict(view.content)} if geometry.mode == "letterbox" else {}
    return {REGION: asdict(view.region), **content}


def sample_of(key: str, frame: Frame, metadata: Mapping[str, JSON]) -> Sample:
    """A frame as a sample, with its boxes in the metadata."""
    boxes: dict[str, JSON] = {BOXES: [asdict(box) for box in frame.boxes]} if frame.boxes else {}
    return Sample(key, frame.image, frame.label, instances=frame.instances, metadata={**metadata, **boxes})
