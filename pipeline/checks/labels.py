"""Check some labels and images of a dataset before any work, so that a fault does not end a run hours later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from augment.errors import UserError
from pipeline.checks.label_rules import (
    WITHOUT_LABELS,
    LabelCounts,
    LabelEncoding,
    absent_classes,
    classes_in,
    ignored_class,
    may_ignore_a_class,
    merge_splits,
    nothing_labelled,
    nothing_to_learn,
    perhaps_ignored,
)
from pipeline.checks.label_scan import MANY, LabelScan
from pipeline.datasets import TRAIN_SPLIT, Dataset, Record, RecordError
from pipeline.datasets.files.orientation import turned_images
from pipeline.datasets.pairing.pairs import collecting_unpaired
from pipeline.datasets.pairing.unread_files import collecting_unread
from pipeline.datasets.record import Label
from pipeline.datasets.thinning import spread
from pipeline.engine import ErrorBudget, Failed, WorkUnit
from pipeline.stages.images import RealImages
from pipeline.stages.reading import StoreSource, keys_by_shard, split_of
from pipeline.store import Store, taxonomy_of
from pipeline.taxonomies import Taxonomy, mapping_table

# Masks of a split that are tried where some do not read.
_UNREAD = 256
# Images of a split that are tried until one can be read.
_IMAGES = 3


@dataclass
class LabelCheck:
    """Checks masks and images of the splits that a run would read.

    It reads a few from all over each split first, and more where these leave a doubt, such as a single class.

    Attributes:
        images: of the run.
        budget: how many bad samples the run allows.
        measured: the split that segmenters are evaluated on; None where the configuration leaves them out.
        trains: whether one of the stages to run trains on labels.
    """

    images: RealImages
    budget: ErrorBudget
    measured: str | None
    trains: bool

    def run(self) -> list[str]:
        """What the user should know of the labels, a line each; rendered scenes are not checked.

        Raises:
            UserError: masks or images do not read, a named class is ignored by default, or all labels have one class.
        """
        if self.images.is_rendered:
            return []
        dataset, target = self.images.dataset, self.images.taxonomy
        encoding = LabelEncoding.of(dataset)
        remarks = self._labels(dataset, encoding, target) if encoding and target else []
        for split, records in self.images.candidates.items():
            self._require_an_image(dataset, split, records)
            if turned := turned_images(dataset.tree, split, records):
                remarks.append(f"labels: {turned}")
        return remarks

    def _labels(self, dataset: Dataset, encoding: LabelEncoding, target: Taxonomy) -> list[str]:
        own = encoding.taxonomy
        table = None if own == target else mapping_table(own, target)
        labelled = {split: [r for r in records if r.label] for split, records in self.images.candidates.items()}
        scans = [
            LabelScan(split, len(found), np.zeros(len(own), np.int64)) for split, found in labelled.items() if found
        ]
        few = all(scan.total <= MANY for scan in scans)

        def doubtful(scan: LabelScan) -> bool:
            if scan.failures:
                return scan.tried < _UNREAD
            if len(scan.counts(table, len(target)).classes) < 2:
                return True
            return few and may_ignore_a_class(encoding, scan.counts().classes, scan.ignored)

        for scan in scans:
            scan.run(partial(_nth_label, dataset, labelled[scan.split]), own.ignore_index, partial(doubtful, scan))
        remarks = self._require_readable(scans)
        counts = [scan.counts(table, len(target)) for scan in scans]
        needed = (TRAIN_SPLIT, self.measured) if self.measured is not None else ()
        for each in counts:
            if each.split in needed:
                _refuse(nothing_labelled(each, encoding.ignored), WITHOUT_LABELS)
        of_set, everything = self._with_unused(dataset, encoding, scans)
        _refuse(ignored_class(encoding, of_set, everything=everything))
        for each in counts:
            # Polygons of one category can be painted on. Any other set of one class is a mistake, best found at once.
            if each.split in needed[:1] and (self.trains or not encoding.of_objects):
                _refuse(nothing_to_learn(each, target.classes, encoding), WITHOUT_LABELS)
        lines = filter(None, (absent_classes(target.classes, counts), perhaps_ignored(encoding, of_set)))
        return [*remarks, *(f"labels: {line}" for line in ["; ".join(lines)] if line)]

    def _with_unused(
        self, dataset: Dataset, encoding: LabelEncoding, scans: Sequence[LabelScan]
    ) -> tuple[list[LabelCounts], bool]:
        """The counts of the whole dataset, and whether all of its labels were tried.

        Labels that the run does not use, of other splits or over a limit, are read only where a class may be missing
        because its value is ignored, and only if they are few.
        """
        counts = [scan.counts() for scan in scans]
        all_tried = all(scan.tried == scan.total for scan in scans)
        ignored = sum(each.ignored for each in counts)
        if not all_tried or not may_ignore_a_class(encoding, classes_in(counts), ignored):
            return counts, all_tried
        unused = self._unused(dataset)
        if unused is None or any(len(records) > MANY for records in unused.values()):
            return counts, False
        for split, records in unused.items():
            scan = LabelScan(split, len(records), np.zeros(len(encoding.taxonomy), np.int64))

            def doubtful(scan: LabelScan = scan, used: Sequence[LabelCounts] = counts) -> bool:
                together = [*used, scan.counts()]
                return may_ignore_a_class(encoding, classes_in(together), sum(each.ignored for each in together))

            scan.run(partial(_nth_label, dataset, records), encoding.taxonomy.ignore_index, doubtful)
            all_tried = all_tried and scan.tried == scan.total
            counts = merge_splits([*counts, scan.counts()])
        return counts, all_tried

    def _unused(self, dataset: Dataset) -> dict[str, list[Record]] | None:
        """Labelled images that the run does not use, by split; None where a split that it does not use has a fault."""
        intake = self.images.config.dataset.intake
        records, used = dict(self.images.listing.records), self.images.candidates
        others = [split for split in intake.splits(dataset) if split not in records]
        try:
            with collecting_unpaired(), collecting_unread():
                records |= intake.listing(dataset, others, may_be_empty=True).records
        # The run does not read these splits, so it does not fail; `lumen inspect` reports their faults.
        except UserError:
            return None
        keys = {split: {record.key for record in found} for split, found in used.items()}
        unused = {
            split: [record for record in found if record.label and record.key not in keys.get(split, ())]
            for split, found in records.items()
        }
        return {split: found for split, found in unused.items() if found}

    def _require_readable(self, scans: Sequence[LabelScan]) -> list[str]:
        """Remarks on masks that do not read, where they are few enough to be quarantined."""
        failed, tried = (sum(found) for found in zip(*((len(x.failures), x.tried) for x in scans), strict=True))
        remarks = []
        for scan in scans:
            if not scan.failures:
                continue
            first, checked = scan.failures[0], f"{scan.tried} masks of {scan.split!r} checked (it has {scan.total})"
            such = f"such as {first.key}: {first.reason}"
            if not scan.read:
                raise UserError(f"dataset: no label could be read in the {checked}, {such}")
            text = f"{len(scan.failures)} of the {checked} could not be read, {such}"
            if failed > self.budget.allowed(tried):
                raise UserError(f"dataset: {text}")
            remarks.append(f"labels: {text}")
        return remarks

    def _require_an_image(self, dataset: Dataset, split: str, records: Sequence[Record]) -> None:
        geometry, reason = self.images.geometry, ""
        tried = [records[index] for index in spread(len(records), _IMAGES)]
        for record in tried:
            try:
                geometry.views(record.key, dataset.load(record, geometry.at_least).full_size)
            except RecordError as error:
                reason = reason or f"{record.key}: {error}"
            else:
                return
        if reason:
            raise UserError(f"dataset: none of {len(tried)} images of {split!r} can be used, such as {reason}")


def _refuse(fault: str | None, *remedies: str) -> None:
    if fault:
        raise UserError("; ".join([f"dataset: {fault}", *remedies]))


def _nth_label(dataset: Dataset, records: Sequence[Record], index: int) -> Label | Failed | None:
    record = records[index]
    try:
        return dataset.annotations(record).label
    except RecordError as error:
        return Failed(record.key, str(error))


def check_stored_labels(images: RealImages, store: Store) -> None:
    """Check labels of the training split in the real store, before segmenters are trained on them.

    Raises:
        UserError: they have no class, or only one.
    """
    taxonomy = taxonomy_of(store.manifest)
    if taxonomy is None:
        return
    keys = [key for shard, keys in keys_by_shard(store).items() if split_of(shard) == TRAIN_SPLIT for key in keys]
    scan = LabelScan(TRAIN_SPLIT, len(keys), np.zeros(len(taxonomy), np.int64))
    source = StoreSource(store.url, ("label",))

    def load(index: int) -> Label | Failed | None:
        [found] = source.read(WorkUnit(f"{TRAIN_SPLIT}-000000", (keys[index],)))
        return found if isinstance(found, Failed) else found.label

    scan.run(load, taxonomy.ignore_index, lambda: len(scan.counts().classes) < 2)
    on_disk = None if images.is_rendered else LabelEncoding.of(images.dataset)
    counts, encoding = scan.counts(), on_disk or LabelEncoding.of_store(taxonomy)
    if fault := nothing_labelled(counts, encoding.ignored) or nothing_to_learn(counts, taxonomy.classes, encoding):
        raise UserError(f"{store.url}: {fault}; {WITHOUT_LABELS}")
