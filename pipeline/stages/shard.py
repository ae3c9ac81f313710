"""shard: a dataset as it lies on disk becomes a store at the working size."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache

from augment.errors import UserError
from pipeline.datasets import Dataset, DatasetKind, Geometry, Record, RecordError, open_dataset, resize_pair
from pipeline.datasets.geometry import LATENT_STRIDE
from pipeline.engine.outcome import Failed, Ok, Outcome
from pipeline.engine.stage import Resources
from pipeline.engine.unit import WorkUnit
from pipeline.store import JSON, InvalidSample, Sample, fingerprint
from pipeline.taxonomies import Taxonomy, mapping_table, named_taxonomy, translate


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
            {"records": [asdict(record) for record in chunk]},
        )
        for split, items in records.items()
        for start in range(0, len(items), samples_per_shard)
        for chunk in [items[start : start + samples_per_shard]]
    ]


def listing_digest(records: Mapping[str, Sequence[Record]]) -> str:
    """Sha256 over all records: what tells one dataset from another, wherever it lies.

    What the files hold is not looked at: one that is mended after it was quarantined stays in its place.
    """
    return fingerprint([asdict(record) for items in records.values() for record in items])


def translation(own: Taxonomy, target: Taxonomy) -> dict[str, JSON]:
    """What tells labels that are translated from others, for a manifest; nothing where they stay as they are.

    Raises:
        UserError: nothing says what the dataset's own classes are in those of the target.
    """
    if own == target:
        return {}
    try:
        table = mapping_table(own, target)
    except UserError as error:
        raise UserError(f"dataset.taxonomy={target.name}: {error}") from error
    return {"translation": {"from": own.name, "table": fingerprint(table.tolist())}}


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
        """Images and labels at their size on disk; one that cannot be read is a failure."""
        dataset = opened(self.kind, self.root)
        own = dataset.taxonomy
        target = named_taxonomy(self.taxonomy) if self.taxonomy else own
        rows = unit.params["records"]
        assert isinstance(rows, Sequence)
        wanted = set(unit.keys)
        for record in (Record(**row) for row in rows if row["key"] in wanted):  # type: ignore
            try:
                image, label = dataset.load(record)
            except RecordError as error:
                yield Failed(record.key, str(error), traceback.format_exc())
                continue
            ids = label if label is None or own == target else translate(label, own, target)
            origin = {"dataset": dataset.name, "split": record.split, "source": record.image}
            yield Sample(record.key, image, ids, metadata={**record.attributes, **origin})


@dataclass(frozen=True)
class Shard:
    """Brings image and label to the working size, together."""

    height: int
    width: int
    resources: Resources
    batch_size: int
    name: str = "shard"

    def setup(self) -> None:
        """Nothing to load."""

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """Resize every pair."""
        return [Ok(self.resized(sample)) for sample in batch]

    def resized(self, sample: Sample) -> Sample:
        """The sample at the working size.

        Raises:
            InvalidSample: it is smaller than one cell of the latent grid.
        """
        assert sample.image is not None
        if min(sample.image.shape[:2]) < LATENT_STRIDE:
            height, width = sample.image.shape[:2]
            raise InvalidSample(f"image too small: {height}x{width} pixels (height x width), less than {LATENT_STRIDE}")
        image, label = resize_pair(sample.image, sample.label, Geometry(self.height, self.width))
        return Sample(sample.key, image, label, metadata=sample.metadata)
