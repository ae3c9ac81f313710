"""A contact sheet: images with their labels in colour, and their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from augment.conditioning import LAYOUT, TITLES
from augment.errors import UserError
from pipeline.engine import Failed
from pipeline.inspection.drawing import (
    CAPTION,
    GAP,
    INK,
    MARK,
    PAPER,
    TALLEST,
    WIDTH,
    draw_fault,
    fitted,
    font,
    paste,
    some_samples,
)
from pipeline.inspection.layout_sheet import layout_sheet
from pipeline.inspection.subject import Subject
from pipeline.stages.edit_options import EDITED
from pipeline.store import Sample
from pipeline.store.manifest import LAYOUTS
from pipeline.taxonomies import Taxonomy

COUNT, COLUMNS = 24, 4
# Pixels of a line of the legend.
_LINE = 24


def contact_sheet(subject: Subject, count: int = COUNT) -> Image.Image:
    """RGB picture of at most ``count`` samples from all over the splits: each image above its label.

    Captions give the key, the split and, for a synthetic sample, k and whether its layout and label were edited; a
    legend gives the colours of the visible classes. In place of a sample that cannot be read is the reason. Raises
    UserError where the subject has no sample.
    """
    samples = some_samples(subject, count)
    if not samples:
        raise UserError(f"{subject.place} has no sample to show")
    tall = _picture_height(samples)
    tile_height = CAPTION + tall * (1 + (subject.taxonomy is not None)) + GAP
    columns = min(COLUMNS, len(samples))
    rows = -(-len(samples) // columns)
    width = GAP + columns * (WIDTH + GAP)
    legend = _legend(samples, subject.taxonomy, width) if subject.taxonomy else None
    height = GAP + rows * tile_height + (legend.height if legend else 0)
    sheet = Image.new("RGB", (width, height), PAPER)
    for number, (split, sample) in enumerate(samples):
        row, column = divmod(number, columns)
        left, top = GAP + column * (WIDTH + GAP), GAP + row * tile_height
        if isinstance(sample, Failed):
            draw_fault(sheet, left, top, tall, sample)
        else:
            _draw(sheet, left, top, tall, split, sample, subject.taxonomy)
    if legend:
        sheet.paste(legend, (0, height - legend.height))
    return sheet


def write_sheets(subjects: Mapping[str, Subject], path: Path) -> list[Path]:
    """Write the contact sheet of a subject to ``path``, of several each to ``<stem of path>-<name>.png``.

    That of layouts is a `layout_sheet`.

    Returns the files written. Raises UserError where no subject has a sample to show.
    """
    # Early in a run the workspace has stores without samples, and the store of captions has no images.
    shown = {name: each for name, each in subjects.items() if any(each.units.values()) and each.name != "captions"}
    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for name, subject in (shown or subjects).items():
        written.append(path if len(subjects) == 1 else path.with_stem(f"{path.stem}-{name}"))
        sheet = layout_sheet if subject.name == LAYOUTS else contact_sheet
        sheet(subject).save(written[-1])
    return written


def _picture_height(samples: Sequence[tuple[str, Sample | Failed]]) -> int:
    """Pixels that the tallest of the images takes at the width of a tile."""
    shapes = [sample.image.shape for _, sample in samples if isinstance(sample, Sample) and sample.image is not None]
    return min(TALLEST, max((round(WIDTH * height / width) for height, width, _ in shapes), default=WIDTH // 2))


def _draw(
    sheet: Image.Image, left: int, top: int, tall: int, split: str, sample: Sample, taxonomy: Taxonomy | None
) -> None:
    facts = caption_facts(split, sample)
    mark = "  edited" if sample.metadata.get(EDITED) else ""
    name = fitted(sample.key, WIDTH - font().getlength(f"{facts}{mark}"))
    pen = ImageDraw.Draw(sheet)
    pen.text((left, top), f"{name}{facts}", INK, font())
    pen.text((left + font().getlength(f"{name}{facts}"), top), mark, MARK, font())
    if sample.image is not None:
        paste(sheet, sample.image, left, top + CAPTION, tall, Image.Resampling.BILINEAR)
    if taxonomy is not None and sample.label is not None:
        # Unknown ids are shown as ignored; the statistics count them.
        known = np.minimum(sample.label, taxonomy.ignore_index)
        paste(sheet, taxonomy.colors[known], left, top + CAPTION + tall, tall, Image.Resampling.NEAREST)


def caption_facts(split: str, sample: Sample) -> str:
    """What a caption says after the key: the split, and k, or that a synthetic image is painted without conditioning.

    Conditionings other than neural layouts are read with all channels or not at all.
    """
    # Keys of datasets begin with their split.
    facts = [] if sample.key.startswith(split) else [split]
    if (k := sample.metadata.get("k")) is not None:
        kind = str(sample.metadata.get("conditioning", LAYOUT))
        facts += [f"k={k}"] if kind == LAYOUT else [] if k else [f"without {TITLES.get(kind, kind)}"]
    return "".join(f"  {fact}" for fact in facts)


def _legend(samples: Sequence[tuple[str, Sample | Failed]], taxonomy: Taxonomy, width: int) -> Image.Image:
    labels = [sample.label for _, sample in samples if isinstance(sample, Sample) and sample.label is not None]
    seen = sorted({int(value) for label in labels for value in np.unique(label) if value < len(taxonomy)})
    entries = [(taxonomy.classes[index], taxonomy.palette[index]) for index in seen] + [("ignored", (0, 0, 0))]
    places, left, top = [], GAP, 0
    for name, _ in entries:
        needed = _LINE + int(font().getlength(name)) + 2 * GAP
        if left + needed > width and left > GAP:
            left, top = GAP, top + _LINE
        places.append((left, top))
        left += needed
    legend = Image.new("RGB", (width, top + _LINE + GAP), PAPER)
    pen = ImageDraw.Draw(legend)
    for (name, color), (x, y) in zip(entries, places, strict=True):
        pen.rectangle((x, y + 2, x + 16, y + 18), fill=color, outline=INK)
        pen.text((x + _LINE, y), name, INK, font())
    return legend
