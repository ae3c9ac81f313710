"""Format an inspection as lines for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from augment.conditioning import LAYOUT, TITLES
from pipeline.datasets import TRAIN_SPLIT
from pipeline.datasets.files.tree import enumerate_some
from pipeline.inspection.inspect import Report
from pipeline.inspection.statistics import RARE_IMAGES, RARE_PIXELS, Statistics, ValueCounts, ranked
from pipeline.inspection.subject import Subject
from pipeline.store import kind_of
from pipeline.taxonomies import Taxonomy

_MOST_SIZES, _MOST_VALUES, _MOST_PAIRS, _MOST_NAMES = 5, 8, 5, 3
# A set of 3,688 classes can lack thousands of them, and their names would fill twenty screens.
_MOST_CLASSES, _MOST_EXAMPLES = 20, 8


def lines_of(report: Report) -> Iterator[str]:
    """The findings: faults and near-duplicates across splits first, then counts."""
    total, subject = report.total, report.subject
    splits = ", ".join(
        f"{name} {statistics.samples}"
        + " unlabelled" * (statistics.samples > 0 == statistics.labelled < total.labelled)
        for name, statistics in report.splits.items()
    )
    yield f"{subject.name} in {subject.place}: {total.samples} samples ({splits or 'none'})"
    yield from _faults(report)
    if total.layouts:
        yield from _layouts(total, subject)
        return
    yield from _near_duplicates(report)
    yield from _contents(total)
    if subject.taxonomy and total.labelled:
        yield from _classes(report, total, subject.taxonomy)


def _faults(report: Report) -> Iterator[str]:
    subject = report.subject
    yield from (f"  {unread}" for unread in subject.unread)
    for unpaired in subject.unpaired:
        place = f"  split {unpaired.split!r}, {unpaired.images} images and {unpaired.labels} labels:"
        bare, orphans = (
            enumerate_some(names, _MOST_NAMES) for names in (unpaired.without_label, unpaired.without_image)
        )
        if bare:
            found = f"{len(unpaired.without_label)} images without a label ({bare})"
            yield f"{place} {found}, expected {unpaired.label_pattern}"
        if orphans:
            found = f"{len(unpaired.without_image)} labels without an image ({orphans})"
            yield f"{place} {found}, expected {unpaired.image_pattern}"
        if not unpaired.images:
            yield f"{place} no image, expected {unpaired.image_pattern}"
    yield from (f"  {remark}" for remark in subject.listing.remarks())
    for kind, faults in sorted(report.total.failures.items()):
        first = next(iter(faults.examples.values()))
        yield f"  {faults.count} x {kind}, such as {first.removeprefix(f'{kind}: ')}"
    if report.total.unknown:
        yield f"  {report.total.unknown} pixels have ids of no class"
    for kind, count in sorted(subject.quarantined.items()):
        such = f", such as {subject.example}" if kind_of(subject.example.partition(": ")[2]) == kind else ""
        yield f"  {count} x {kind}: quarantined when the store was made{such}"
    if subject.lacks_train:
        yield f"  {subject.lacks_train}; every run needs {TRAIN_SPLIT!r}"
    yield from (f"  {empty}" for empty in subject.empty)
    yield from (f"  {fault}" for fault in report.label_faults)
    yield from (f"  perhaps, as only a part was read: {doubt}" for doubt in report.label_doubts)
    yield from (f"  {turned}" for turned in subject.turned)
    if report.label_note:
        yield f"  for training: {report.label_note}"
    if report.ignored_note:
        yield f"  no image shows the last class: {report.ignored_note}"
    if report.is_sound:
        yield "  no file is missing or unreadable"


def _near_duplicates(report: Report) -> Iterator[str]:
    """Near-duplicates, those across splits first: they let a segmenter be evaluated on what it was trained on."""
    yield f"near-duplicates (at most {report.distance} of 64 bits of a difference hash apart)"
    if not report.near_duplicates:
        yield "  none"
    if report.flat:
        yield f"  not compared: {report.flat} images of almost no contrast"
    for (split, other), count in report.pairs_of_splits.items():
        samples = report.splits[split].samples
        yield f"  {count} of {samples} images of {split} have one in {other}"
        found = [pair for pair in report.near_duplicates if (pair.split, pair.other_split) == (split, other)]
        if split != other:
            yield from (f"    {pair.key} ~ {pair.other} ({pair.distance} bits)" for pair in found[:_MOST_PAIRS])


def _layouts(total: Statistics, subject: Subject) -> Iterator[str]:
    what, each = (
        ("layouts", "components") if subject.conditioning == LAYOUT else (TITLES[subject.conditioning], "channels")
    )
    for (components, rows, columns), count in ranked(total.layouts):
        cells = f"{columns}x{rows} cells, stored as {subject.layout_format}"
        yield f"{what} of {components} {each} on {cells}: {count}"
    yield from (f"with {views} views each: {count}" for views, count in ranked(total.views) if views)


def _contents(total: Statistics) -> Iterator[str]:
    if total.sizes:
        sizes = [f"{width}x{height} ({count})" for (height, width), count in ranked(total.sizes)[:_MOST_SIZES]]
        more = f" and {len(total.sizes) - _MOST_SIZES} more" if len(total.sizes) > _MOST_SIZES else ""
        yield f"sizes, width x height: {', '.join(sizes)}{more}"
    yield f"labelled: {total.labelled}, with captions: {total.captioned}"
    if total.with_instances:
        yield f"instances: {total.instances} in {total.with_instances} images"
    if total.boxes:
        yield f"boxes: {_counts(total.boxes)}"
    for name, values in sorted(total.attributes.items()):
        yield f"{name}: {_values(values)}"


def _classes(report: Report, total: Statistics, taxonomy: Taxonomy) -> Iterator[str]:
    names = taxonomy.classes
    shares = total.shares
    present = [index for index in sorted(range(len(names)), key=lambda index: -shares[index]) if total.pixels[index]]
    width = max((len(names[index]) for index in present), default=len("class"))
    yield f"{'class':<{width}}  {'pixels':>8}  {'images':>8}"
    for index in present:
        yield f"{names[index]:<{width}}  {shares[index]:>8.3%}  {total.images_with[index]:>8}"
    yield f"ignored: {total.ignored_share:.3%} of all labelled pixels; shares above are of the pixels with a class"
    rule = f"in under {RARE_IMAGES:.0%} of labelled images, or under {RARE_PIXELS:.1%} of pixels"
    yield f"rare ({rule}): {_some([names[index] for index in total.rare()]) or 'none'}"
    absent = total.absent()
    if absent:
        yield f"in no image: {_some([names[index] for index in absent])}"
    seen = set(absent)
    for split, statistics in report.splits.items():
        if lacking := [names[index] for index in statistics.absent() if index not in seen]:
            yield f"not in {split}: {_some(lacking)}"


def _some(names: Sequence[str]) -> str:
    """All names if they are few, otherwise their number and the first few."""
    if len(names) <= _MOST_CLASSES:
        return ", ".join(names)
    return f"{len(names)} classes, such as {', '.join(names[:_MOST_EXAMPLES])} (--json lists all)"


def _values(values: ValueCounts) -> str:
    return "too many different values to count" if values.counts is None else _counts(values.counts)


def _counts(counts: Counter[str]) -> str:
    more = f" and {len(counts) - _MOST_VALUES} more" if len(counts) > _MOST_VALUES else ""
    return ", ".join(f"{value} ({count})" for value, count in ranked(counts)[:_MOST_VALUES]) + more
