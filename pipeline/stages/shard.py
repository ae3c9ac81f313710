"""shard: a dataset as it lies on disk becomes a store at the working size."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache

from augment.errors import UserError
from pipeline.datasets import (
    Box,
    Dataset,
    DatasetKind,
    Frame,
    Geometry,
    Record,
    RecordError,
    open_dataset,
    resize_frame,
)
from pipeline.datasets.geometry import LATENT_STRIDE
from pipeline.engine.outcome import Failed, Ok, Outcome
from pipeline.engine.stage import Resources
from pipeline.engine.unit import WorkUnit
from pipeline.store import JSON, InvalidSample, Sample, fingerprint
from pipeline.taxonomies import Taxonomy, mapping_table, named_taxonomy, translate

# Metadata of a sample that no scalar holds: what people said of the image, and the boxes of its objects.
CAPTIONS, BOXES = "captions", "boxes"


def select(dataset: Dataset, splits: Sequence[str], limit: Mapping[str, int]) -> dict[str, list[Record]]:
    """The records of each split, thinned evenly to at most `limit[split]`.

    Raises:
        UserError: the dataset lacks a split.
    """
    chosen: dict[str, list[Record]] = {}
    for split in splits:
        records = dataset.records(split)
        count = min(len(records), limit.get(split, len(records)))
        chosen[split] = [records[i * len(records) // count] for i in range(count)]
    return chosen


def plan(records: Mapping[str, Sequence[Record]], samples_per_shard: int) -> list[WorkUnit]:
    """One unit for every `samples_per_shard` records of a split, in their order.

    A unit carries its records, so that no worker lists the folder.
    """
    return [
        WorkUnit(
            f"{split}-{start // samples_per_shard:06d}",
            tuple(record.key for record in chunk),
            {"records": [record.to_json() for record in chunk]},
        )
        for split, items in records.items()
        for start in range(0, len(items), samples_per_shard)
        for chunk in [items[start : start + samples_per_shard]]
    ]


def listing_digest(records: Mapping[str, Sequence[Record]]) -> str:
    """Sha256 over all records: what tells one dataset from another, wherever it lies.

    What the files hold is not looked at: one that is mended after it was quarantined stays in its place.
    """
    return fingerprint([record.to_json() for items in records.values() for record in items])


def translation(own: Taxonomy | None, target: Taxonomy | None) -> dict[str, JSON]:
    """What tells labels that are translated from others, for a manifest; nothing where they stay as they are.

    Raises:
        UserError: there are no labels, or nothing says what their classes are in those of the target.
    """
    if target is None or own == target:
        return {}
    if own is None:
        raise UserError(f"dataset.taxonomy={target.name}: the dataset has no labels to translate; leave it out")
    try:
        table = mapping_table(own, target)
    except UserError as error:
        raise UserError(f"dataset.taxonomy={target.name}: {error}") from error
    return {"translation": {"from": own.name, "table": fingerprint(table.tolist())}}


def translated(frame: Frame, own: Taxonomy | None, target: str | None) -> Frame:
    """The frame with its label in the classes of that name, or as it is where there is no label or no name."""
    if frame.label is None or own is None or target is None or own == named_taxonomy(target):
        return frame
    return replace(frame, label=translate(frame.label, own, named_taxonomy(target)))


@cache
def opened(kind: DatasetKind, root: str) -> Dataset:
    """The dataset, its folders looked at once in each process."""
    return open_dataset(kind, root)


@dataclass(frozen=True)
class DatasetSource:
    """Reads the records that a unit carries from a dataset's folder.

    ``taxonomy`` names the classes that labels are translated into; None leaves them in the dataset's own.
    """

    kind: DatasetKind
    root: str
    taxonomy: str | None = None

    def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
        """Frames at their size on disk; one that cannot be read is a failure."""
        dataset = opened(self.kind, self.root)
        rows = unit.params["records"]
        assert isinstance(rows, Sequence)
        wanted = set(unit.keys)
        for record in (Record.from_json(row) for row in rows if row["key"] in wanted):  # type: ignore
            try:
                frame = dataset.load(record)
            except RecordError as error:
                yield Failed(record.key, str(error), traceback.format_exc())
                continue
            frame = translated(frame, dataset.taxonomy, self.taxonomy)
            yield sample_of(record.key, frame, self.metadata(dataset, record))

    def metadata(self, dataset: Dataset, record: Record) -> dict[str, JSON]:
        """What is known of an image, and where it comes from."""
        captions: dict[str, JSON] = {CAPTIONS: list(record.captions)} if record.captions else {}
        return {**record.attributes, **captions, "dataset": dataset.name, "split": record.split, "source": record.image}


def sample_of(key: str, frame: Frame, metadata: Mapping[str, JSON]) -> Sample:
    """A frame as a sample; its boxes go into the metadata."""
    boxes: dict[str, JSON] = {BOXES: [asdict(box) for box in frame.boxes]} if frame.boxes else {}
    return Sample(key, frame.image, frame.label, instances=frame.instances, metadata={**metadata, **boxes})


def frame_of(sample: Sample) -> Frame:
    """The frame that `sample_of` made a sample of."""
    assert sample.image is not None
    boxes = sample.metadata.get(BOXES, [])
    assert isinstance(boxes, Sequence)
    return Frame(sample.image, sample.label, sample.instances, tuple(Box(**box) for box in boxes))  # type: ignore


@dataclass(frozen=True)
class Shard:
    """Brings image and annotations to the working size, together."""

    height: int
    width: int
    resources: Resources
    batch_size: int
    name: str = "shard"

    def setup(self) -> None:
        """Nothing to load."""

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """Resize every frame."""
        return [Ok(self.resized(sample)) for sample in batch]

    def resized(self, sample: Sample) -> Sample:
        """The sample at the working size.

        Raises:
            InvalidSample: it is smaller than one cell of the latent grid.
        """
        frame = frame_of(sample)
        height, width = frame.image.shape[:2]
        if min(height, width) < LATENT_STRIDE:
            raise InvalidSample(f"image too small: {height}x{width} pixels (height x width), less than {LATENT_STRIDE}")
        return sample_of(sample.key, resize_frame(frame, Geometry(self.height, self.width)), sample.metadata)
