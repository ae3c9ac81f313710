"""A look at some labels and images of a dataset before any work, so that a run need not find out what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.checks.label_rules import (
    WITHOUT_LABELS,
    Meaning,
    Seen,
    ignored_class,
    joined,
    may_be_ignored,
    not_shown,
    nothing_labelled,
    nothing_to_learn,
    perhaps_ignored,
    shown,
)
from pipeline.config import TRAIN_SPLIT
from pipeline.datasets import Dataset, Record, RecordError
from pipeline.datasets.files.orientation import turned_images
from pipeline.datasets.pairing.pairs import collecting_unpaired
from pipeline.datasets.pairing.unread_files import collecting_unread
from pipeline.datasets.record import Label
from pipeline.datasets.thinning import spread
from pipeline.engine import ErrorBudget, Failed, WorkUnit
from pipeline.stages.reading import StoreSource, keys_by_shard, split_of
from pipeline.stages.workflow_data import RealData
from pipeline.store import taxonomy_of
from pipeline.taxonomies import Taxonomy, mapping_table

# Masks of a split that are looked at in any case; at most so many where these leave a doubt, or do not read.
_FEW, _MANY, _UNREAD = 16, 2048, 256
# Pixels of masks after which no more are looked at, without and with a doubt: 64 and 1024 frames of Cityscapes.
_FEW_PIXELS, _MANY_PIXELS = 1 << 27, 1 << 31
# Images of a split that are tried until one reads.
_IMAGES = 3
_THREADS = 4


@dataclass
class Look:
    """What the labels of a split hold, as far as they have been looked at.

    Attributes:
        split: which.
        total: its labelled images.
        pixels: of each class, int64 [C].
        ignored: pixels without a class.
        looked: labels read.
        failures: those that could not be read.
    """

    split: str
    total: int
    pixels: NDArray[np.int64]
    ignored: int = 0
    looked: int = 0
    failures: list[Failed] = field(default_factory=list)

    @property
    def tried(self) -> int:
        """Labels that were read or could not be."""
        return self.looked + len(self.failures)

    def add(self, found: Label | Failed, ignore_index: int) -> None:
        """Count a label."""
        if isinstance(found, Failed):
            self.failures.append(found)
            return
        counts = np.bincount(found.ravel(), minlength=ignore_index + 1)
        self.looked += 1
        self.pixels += counts[: len(self.pixels)]
        self.ignored += int(counts[ignore_index])

    def fill(
        self, read: Callable[[int], Label | Failed | None], ignore_index: int, doubtful: Callable[[], bool]
    ) -> None:
        """Look at labels from all over the split, by their place in it, until there are enough and no doubt is left."""
        order = spread(self.total, _MANY)
        with ThreadPoolExecutor(_THREADS, "look") as pool:
            for start in range(0, len(order), _THREADS):
                pixels = int(self.pixels.sum()) + self.ignored
                enough = start >= _FEW or pixels > _FEW_PIXELS
                if pixels > _MANY_PIXELS or (enough and not doubtful()):
                    return
                for found in pool.map(read, order[start : start + _THREADS]):
                    if found is not None:
                        self.add(found, ignore_index)

    def seen(self, table: NDArray[np.unsignedinteger] | None = None, classes: int = 0) -> Seen:
        """What was seen: in the classes there are, or in other ``classes`` that ``table`` leads to from these."""
        if table is None:
            return Seen(self.split, self.pixels, self.ignored, self.looked, self.total)
        mapped = table[: len(self.pixels)]
        known = mapped < classes
        pixels = np.zeros(classes, np.int64)
        np.add.at(pixels, mapped[known], self.pixels[known])
        ignored = self.ignored + int(self.pixels[~known].sum())
        return Seen(self.split, pixels, ignored, self.looked, self.total)


@dataclass
class LabelCheck:
    """Looks at masks and images of the splits that a run would read.

    At first at a few from all over each split; where they leave a doubt, such as a single class, at more of them.

    Attributes:
        data: of the run.
        budget: how many bad samples the run allows.
        measured: the split that segmenters are evaluated on; None where the configuration leaves them out.
        trains: whether one of the stages to run trains on labels.
    """

    data: RealData
    budget: ErrorBudget
    measured: str | None
    trains: bool

    def run(self) -> list[str]:
        """What should be known of the labels, a line each; rendered scenes are not looked at.

        Raises:
            UserError: masks or images do not read, a named class is ignored by default, or there is nothing to learn.
        """
        if self.data.config.dataset.render is not None:
            return []
        dataset, target = self.data.dataset, self.data.taxonomy
        meaning = Meaning.of(dataset)
        remarks = self._labels(dataset, meaning, target) if meaning and target else []
        for split, records in self.data.candidates.items():
            self._require_an_image(dataset, split, records)
            if turned := turned_images(dataset.tree, split, records):
                remarks.append(f"labels: {turned}")
        return remarks

    def _labels(self, dataset: Dataset, meaning: Meaning, target: Taxonomy) -> list[str]:
        own = meaning.taxonomy
        table = None if own == target else mapping_table(own, target)
        labelled = {split: [r for r in records if r.label] for split, records in self.data.candidates.items()}
        looks = [Look(split, len(found), np.zeros(len(own), np.int64)) for split, found in labelled.items() if found]
        few = all(look.total <= _MANY for look in looks)

        def doubtful(look: Look) -> bool:
            if look.failures:
                return look.tried < _UNREAD
            if len(look.seen(table, len(target)).classes) < 2:
                return True
            return few and may_be_ignored(meaning, look.seen().classes, look.ignored)

        for look in looks:
            read = partial(_nth_label, dataset, labelled[look.split])
            look.fill(read, own.ignore_index, partial(doubtful, look))
        remarks = self._require_readable(looks)
        seen = [look.seen(table, len(target)) for look in looks]
        needed = (TRAIN_SPLIT, self.measured) if self.measured is not None else ()
        for each in seen:
            if each.split in needed:
                _refuse(nothing_labelled(each, meaning.ignored), WITHOUT_LABELS)
        of_set, whole = self._with_unused(dataset, meaning, looks)
        _refuse(ignored_class(meaning, of_set, everything=whole))
        for each in seen:
            # Polygons of one category are a sound set to paint on; any other such set is a mistake, found best at once.
            if each.split in needed[:1] and (self.trains or not meaning.of_objects):
                _refuse(nothing_to_learn(each, target.classes, meaning), WITHOUT_LABELS)
        lines = filter(None, (not_shown(target.classes, seen), perhaps_ignored(meaning, of_set)))
        return [*remarks, *(f"labels: {line}" for line in ["; ".join(lines)] if line)]

    def _with_unused(self, dataset: Dataset, meaning: Meaning, looks: Sequence[Look]) -> tuple[list[Seen], bool]:
        """What the labels of the whole dataset hold, and whether all of them were looked at.

        Labels that the run does not use, of other splits or beyond a limit, are looked at only where a class may be
        missing because its value is ignored, and only if they are not too many.
        """
        seen = [look.seen() for look in looks]
        all_tried = all(look.tried == look.total for look in looks)
        if not all_tried or not may_be_ignored(meaning, shown(seen), sum(each.ignored for each in seen)):
            return seen, all_tried
        unused = self._unused(dataset)
        if unused is None or any(len(records) > _MANY for records in unused.values()):
            return seen, False
        for split, records in unused.items():
            look = Look(split, len(records), np.zeros(len(meaning.taxonomy), np.int64))

            def doubtful(look: Look = look, used: Sequence[Seen] = seen) -> bool:
                together = [*used, look.seen()]
                return may_be_ignored(meaning, shown(together), sum(each.ignored for each in together))

            look.fill(partial(_nth_label, dataset, records), meaning.taxonomy.ignore_index, doubtful)
            all_tried = all_tried and look.tried == look.total
            seen = joined([*seen, look.seen()])
        return seen, all_tried

    def _unused(self, dataset: Dataset) -> dict[str, list[Record]] | None:
        """Labelled images that the run leaves aside, by split; None where a split that it does not use has a fault."""
        intake = self.data.config.dataset.intake
        records, used = dict(self.data.listing.records), self.data.candidates
        others = [split for split in intake.splits(dataset) if split not in records]
        try:
            with collecting_unpaired(), collecting_unread():
                records |= intake.listing(dataset, others, may_be_empty=True).records
        # A run does not depend on splits that it leaves out, and inspect names what is wrong with them.
        except UserError:
            return None
        keys = {split: {record.key for record in found} for split, found in used.items()}
        unused = {
            split: [record for record in found if record.label and record.key not in keys.get(split, ())]
            for split, found in records.items()
        }
        return {split: found for split, found in unused.items() if found}

    def _require_readable(self, looks: Sequence[Look]) -> list[str]:
        """Remarks on masks that do not read, where they are few enough to be quarantined."""
        failed, tried = (sum(found) for found in zip(*((len(x.failures), x.tried) for x in looks), strict=True))
        remarks = []
        for look in looks:
            if not look.failures:
                continue
            first, looked_at = look.failures[0], f"{look.tried} masks of {look.split!r} looked at (it has {look.total})"
            such = f"such as {first.key}: {first.reason}"
            if not look.looked:
                raise UserError(f"dataset: no label could be read in the {looked_at}, {such}")
            text = f"{len(look.failures)} of the {looked_at} could not be read, {such}"
            if failed > self.budget.allowed(tried):
                raise UserError(f"dataset: {text}")
            remarks.append(f"labels: {text}")
        return remarks

    def _require_an_image(self, dataset: Dataset, split: str, records: Sequence[Record]) -> None:
        geometry, reason = self.data.frame_geometry, ""
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


def check_stored_labels(data: RealData) -> None:
    """Look at labels of the training split in the real store, which segmenters are to be trained on.

    Raises:
        UserError: there is nothing to learn.
    """
    store, taxonomy = data.store, taxonomy_of(data.store.manifest)
    if taxonomy is None:
        return
    keys = [key for shard, keys in keys_by_shard(store).items() if split_of(shard) == TRAIN_SPLIT for key in keys]
    look = Look(TRAIN_SPLIT, len(keys), np.zeros(len(taxonomy), np.int64))
    source = StoreSource(store.url, ("label",))

    def read(index: int) -> Label | Failed | None:
        [found] = source.read(WorkUnit(f"{TRAIN_SPLIT}-000000", (keys[index],)))
        return found if isinstance(found, Failed) else found.label

    look.fill(read, taxonomy.ignore_index, lambda: len(look.seen().classes) < 2)
    on_disk = None if data.config.dataset.render is not None else Meaning.of(data.dataset)
    seen, meaning = look.seen(), on_disk or Meaning.of_store(taxonomy)
    if fault := nothing_labelled(seen, meaning.ignored) or nothing_to_learn(seen, taxonomy.classes, meaning):
        raise UserError(f"{store.url}: {fault}; {WITHOUT_LABELS}")
