"""What `lumen inspect` reads: a dataset on disk or a store, in one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from augment.conditioning import LAYOUT
from augment.errors import UserError
from pipeline.checks.label_rules import LabelEncoding
from pipeline.datasets import (
    TRAIN_SPLIT,
    Dataset,
    DatasetOptions,
    Decoding,
    Intake,
    Listing,
    kinds,
    open_dataset,
)
from pipeline.datasets.files.orientation import turned_images
from pipeline.datasets.pairing.pairs import Unpaired, collecting_unpaired
from pipeline.datasets.pairing.unread_files import Unread, collecting_unread
from pipeline.datasets.registry import is_kind, portable_kind
from pipeline.datasets.thinning import thinned
from pipeline.engine import Source, WorkUnit
from pipeline.stages import dataset_source
from pipeline.stages.reading import StoreSource, members_of, split_of
from pipeline.stages.registry import stores_in
from pipeline.stages.shard import ShardStep
from pipeline.store import Store, taxonomy_of
from pipeline.store.layout_format import LayoutFormat
from pipeline.store.manifest import LAYOUTS, conditioning_of
from pipeline.store.paths import MANIFEST
from pipeline.taxonomies import Taxonomy
from pipeline.workspace.workspace import Workspace

# Images that a worker reads before it reports: few enough that the bar moves, and that no worker is idle at the end.
UNIT = 16


@dataclass(frozen=True)
class Subject:
    """Images of some splits, and what reads them.

    Attributes:
        name: the kind of dataset or store.
        place: its folder or URL.
        taxonomy: what the ids of its labels mean; None without labels.
        units: a few images each, by split.
        source: reads a unit's samples.
        unpaired: images without labels and labels without images, of the splits that have any.
        quarantined: samples that a store lacks, by kind of reason.
        example: one of them, with its key and whole reason; empty if none is quarantined.
        unread: files that have the name of an image or a label, in a format that is not read.
        lacks_train: where a dataset without a training split is expected to have it; empty for others.
        empty: why a split that a run reads has no image left, a line for each such split of a dataset.
        turned: how many images of a split EXIF mirrors or turns upside down, a line for each split that has any.
        listing: a dataset's records, and the files that are not read.
        encoding: of the masks of a dataset; None for a store, and for a dataset without labels.
        labelled: how many labelled images each split of a dataset has, read or not.
        every_split: whether it is a dataset with all of its splits.
        layout_format: of the layouts of a store.
        conditioning: kind of what a store of layouts holds.
        images: reads the images that layouts are of; None for others, and where the images are not there.
    """

    name: str
    place: str
    taxonomy: Taxonomy | None
    units: Mapping[str, Sequence[WorkUnit]]
    source: Source
    unpaired: Sequence[Unpaired] = ()
    quarantined: Mapping[str, int] = field(default_factory=dict)
    example: str = ""
    unread: Sequence[Unread] = ()
    lacks_train: str = ""
    empty: Sequence[str] = ()
    turned: Sequence[str] = ()
    listing: Listing = field(default_factory=lambda: Listing({}))
    encoding: LabelEncoding | None = None
    labelled: Mapping[str, int] = field(default_factory=dict)
    every_split: bool = False
    layout_format: LayoutFormat = "float16"
    conditioning: str = LAYOUT
    images: Source | None = None


def dataset_subject(
    kind: str,
    root: str,
    split: str | None = None,
    limit: int | None = None,
    settings: DatasetOptions | None = None,
) -> Subject:
    """A dataset in a folder or at a URL, complete or not; at most ``limit`` images of each split.

    ``settings`` are those of a run's ``dataset`` section. Raises UserError if the folder is no dataset of that kind,
    or has no such split.
    """
    options = settings.kind_options if settings else None
    decoding = settings.decoding if settings else Decoding()
    dataset = open_dataset(kind, root, options, decoding)
    intake = settings.intake if settings else Intake()
    splits = [split] if split else intake.splits(dataset)
    with collecting_unpaired() as unpaired, collecting_unread() as unread:
        listing = intake.listing(dataset, splits, may_be_empty=True)
    lacks_train = "" if split or TRAIN_SPLIT in splits else why_absent(dataset, TRAIN_SPLIT)
    read = settings.splits if settings is not None and settings.only_labelled else ()
    chosen = {name: thinned(found, limit) for name, found in listing.records.items()}
    units = {name: dataset_source.plan_units({name: found}, UNIT) for name, found in chosen.items()}
    return Subject(
        dataset.name,
        root,
        dataset.taxonomy,
        units,
        dataset_source.DatasetSource(portable_kind(kind), root, options=options, decoding=decoding),
        unpaired,
        unread=unread,
        lacks_train=lacks_train,
        empty=[why_empty(intake, dataset, name) for name in read if not listing.records.get(name, True)],
        turned=[line for name, found in listing.records.items() if (line := turned_images(dataset.tree, name, found))],
        listing=listing,
        encoding=LabelEncoding.of(dataset),
        labelled={name: sum(record.label is not None for record in found) for name, found in listing.records.items()},
        every_split=split is None,
    )


def why_absent(dataset: Dataset, split: str) -> str:
    """The error of a dataset for a split that it lacks; empty if it has the split."""
    try:
        dataset.records(split)
    except UserError as error:
        return str(error)
    return ""


def why_empty(intake: Intake, dataset: Dataset, split: str) -> str:
    """The error of a run for a split without images; empty if it has some."""
    try:
        intake.listing(dataset, [split])
    except UserError as error:
        return str(error)
    return ""


def store_subject(url: str, split: str | None = None, limit: int | None = None) -> Subject:
    """The committed samples of a store; at most ``limit`` of each split.

    Raises UserError if the URL is no store or the store has no such split; CorruptStore if it is damaged.
    """
    store = Store.open(url)
    index = store.index()
    parts = tuple(
        part
        for part, extensions in members_of(store.manifest).items()
        if any(f"{extension}:offset" in index.column_names for extension in extensions)
    )
    shards = index["shard"].to_pylist()
    stated = index["split"].to_pylist() if "split" in index.column_names else [None] * len(shards)
    splits = [name or split_of(of_shard) for name, of_shard in zip(stated, shards, strict=True)]
    keys: dict[str, list[str]] = {name: [] for name in ([split] if split else sorted(set(splits)))}
    for key, name in zip(index["key"].to_pylist(), splits, strict=True):
        if name in keys:
            keys[name].append(key)
    if split and not keys[split]:
        raise UserError(f"{store.url} has no split {split!r}: its splits are {', '.join(sorted(set(splits)))}")
    units = {
        name: [
            WorkUnit(f"{name}-{start // UNIT:06d}", tuple(chosen[start : start + UNIT]))
            for chosen in [thinned(found, limit)]
            for start in range(0, len(chosen), UNIT)
        ]
        for name, found in keys.items()
    }
    quarantined = store.totals().failure_reasons
    return Subject(
        store.manifest.kind,
        store.url,
        taxonomy_of(store.manifest),
        units,
        StoreSource(store.url, parts),
        quarantined=quarantined,
        example=str(store.example_failure() or ""),
        layout_format=store.manifest.layout_format,
        conditioning=conditioning_of(store.manifest),
        images=images_of_layouts(store) if store.manifest.kind == LAYOUTS else None,
    )


def images_of_layouts(layouts: Store) -> StoreSource | None:
    """Reads the images that layouts are of, from the store of images beside theirs; None if there is none."""
    url = f"{layouts.url.rpartition('/')[0]}/{ShardStep.output}"
    return StoreSource(url, ("image",)) if Store.is_at(url) else None


def subjects_of(
    target: str,
    root: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    settings: DatasetOptions | None = None,
) -> dict[str, Subject]:
    """The subjects of a command line, by name: a kind of dataset and its ``root``, a store, or a workspace's stores.

    ``settings`` are for a dataset; see `dataset_subject`. Raises UserError where the target is none of these.
    """
    if root is not None:
        if not is_kind(target):
            raise UserError(f"{target!r} is no kind of dataset: give one of {', '.join(kinds())} before {root}")
        return {target: dataset_subject(target, root, split, limit, settings)}
    if Store.traces_at(target):
        return {target.rstrip("/").rpartition("/")[-1]: store_subject(target, split, limit)}
    if is_kind(target) and not Path(target).is_dir():
        raise UserError(f"{target} is a kind of dataset: give its folder too, as in lumen inspect {target} FOLDER")
    space = Workspace.at(Path(target))
    stores = {name: url for name, url in stores_in(space).items() if Store.traces_at(url)}
    if not stores:
        raise UserError(
            f"{target} is neither a store ({MANIFEST} is missing) nor a workspace of lumen run; "
            f"for a dataset give its kind first: {', '.join(kinds())}"
        )
    return {name: store_subject(url, split, limit) for name, url in stores.items()}
