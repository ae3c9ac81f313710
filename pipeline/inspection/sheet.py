"""A contact sheet: images with their labels in colour, and their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from augment.errors import UserError
from pipeline.datasets.thinning import thinned
from pipeline.engine import Failed, WorkUnit
from pipeline.inspection.subject import Subject
from pipeline.store import Sample
from pipeline.taxonomies import Taxonomy

COUNT, COLUMNS = 24, 4
# Pixels: of the box that an image is fitted into, of the space around it, of its caption and of a line of the legend.
_WIDTH, _TALLEST, _GAP, _CAPTION, _LINE = 320, 400, 12, 22, 24
_PAPER, _INK = (250, 250, 248), (30, 30, 30)
_FAULT = (200, 60, 40)


def contact_sheet(subject: Subject, count: int = COUNT) -> Image.Image:
    """RGB picture of at most ``count`` samples from all over the splits: each image above its label.

    Captions give the key, the split and, for a synthetic sample, k; a legend gives the colours of the visible classes.
    In place of a sample that cannot be read is the reason. Raises UserError where the subject has no sample.
    """
    samples = _some_samples(subject, count)
    if not samples:
        raise UserError(f"{subject.place} has no sample to show")
    tall = _picture_height(samples)
    tile_height = _CAPTION + tall * (1 + (subject.taxonomy is not None)) + _GAP
    columns = min(COLUMNS, len(samples))
    rows = -(-len(samples) // columns)
    width = _GAP + columns * (_WIDTH + _GAP)
    legend = _legend(samples, subject.taxonomy, width) if subject.taxonomy else None
    height = _GAP + rows * tile_height + (legend.height if legend else 0)
    sheet = Image.new("RGB", (width, height), _PAPER)
    for number, (split, sample) in enumerate(samples):
        row, column = divmod(number, columns)
        left, top = _GAP + column * (_WIDTH + _GAP), _GAP + row * tile_height
        if isinstance(sample, Failed):
            _draw_fault(sheet, left, top, tall, sample)
        else:
            _draw(sheet, left, top, tall, split, sample, subject.taxonomy)
    if legend:
        sheet.paste(legend, (0, height - legend.height))
    return sheet


def write_sheets(subjects: Mapping[str, Subject], path: Path) -> list[Path]:
    """Write the contact sheet of a subject to ``path``, of several each to ``<stem of path>-<name>.png``.

    Returns the files written. Raises UserError where no subject has a sample to show.
    """
    # Early in a run the workspace has stores without samples, and the store of captions has no images.
    shown = {name: each for name, each in subjects.items() if any(each.units.values()) and each.name != "captions"}
    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for name, subject in (shown or subjects).items():
        written.append(path if len(subjects) == 1 else path.with_stem(f"{path.stem}-{name}"))
        contact_sheet(subject).save(written[-1])
    return written


def _some_samples(subject: Subject, count: int) -> list[tuple[str, Sample | Failed]]:
    """Samples from all over each split, as many of each as the splits' sizes allow."""
    chosen = []
    keys = {split: [(unit, key) for unit in units for key in unit.keys] for split, units in subject.units.items()}
    left = count
    for place, split in enumerate(by_size := sorted(keys, key=lambda split: len(keys[split]))):
        found = thinned(keys[split], max(1, left // (len(by_size) - place)))
        left -= len(found)
        chosen += [(split, unit, key) for unit, key in found]
    order = list(subject.units)
    return [
        (split, sample)
        for split, unit, key in sorted(chosen, key=lambda item: order.index(item[0]))[:count]
        for sample in subject.source.read(WorkUnit(unit.shard, (key,), unit.params))
    ]


def _picture_height(samples: Sequence[tuple[str, Sample | Failed]]) -> int:
    """Pixels that the tallest of the images takes at the width of a tile."""
    shapes = [sample.image.shape for _, sample in samples if isinstance(sample, Sample) and sample.image is not None]
    return min(_TALLEST, max((round(_WIDTH * height / width) for height, width, _ in shapes), default=_WIDTH // 2))


def _draw_fault(sheet: Image.Image, left: int, top: int, tall: int, sample: Failed) -> None:
    pen = ImageDraw.Draw(sheet)
    pen.text((left, top), _fitted(f"{sample.key}: cannot be read", _WIDTH), _FAULT, _font())
    top += _CAPTION
    pen.rectangle((left, top, left + _WIDTH - 1, top + tall - 1), outline=_FAULT)
    words = _wrapped(sample.reason, _WIDTH - 2 * _GAP, (tall - 2 * _GAP) // _CAPTION)
    pen.multiline_text((left + _GAP, top + _GAP), words, _FAULT, _font())


def _draw(
    sheet: Image.Image, left: int, top: int, tall: int, split: str, sample: Sample, taxonomy: Taxonomy | None
) -> None:
    # Keys of datasets begin with their split.
    suffix = ("" if sample.key.startswith(split) else f"  {split}") + (
        f"  k={sample.metadata['k']}" if "k" in sample.metadata else ""
    )
    name = _fitted(sample.key, _WIDTH - int(_font().getlength(suffix)))
    ImageDraw.Draw(sheet).text((left, top), f"{name}{suffix}", _INK, _font())
    if sample.image is not None:
        _paste(sheet, sample.image, left, top + _CAPTION, tall, Image.Resampling.BILINEAR)
    if taxonomy is not None and sample.label is not None:
        # Unknown ids are shown as ignored; the statistics count them.
        known = np.minimum(sample.label, taxonomy.ignore_index)
        _paste(sheet, taxonomy.colors[known], left, top + _CAPTION + tall, tall, Image.Resampling.NEAREST)


def _paste(
    sheet: Image.Image, pixels: NDArray[np.uint8], left: int, top: int, tall: int, resampling: Image.Resampling
) -> None:
    height, width = pixels.shape[:2]
    scale = min(_WIDTH / width, tall / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    sheet.paste(Image.fromarray(pixels).resize(size, resampling), (left, top))


def _legend(samples: Sequence[tuple[str, Sample | Failed]], taxonomy: Taxonomy, width: int) -> Image.Image:
    labels = [sample.label for _, sample in samples if isinstance(sample, Sample) and sample.label is not None]
    seen = sorted({int(value) for label in labels for value in np.unique(label) if value < len(taxonomy)})
    entries = [(taxonomy.classes[index], taxonomy.palette[index]) for index in seen] + [("ignored", (0, 0, 0))]
    places, left, top = [], _GAP, 0
    for name, _ in entries:
        needed = _LINE + int(_font().getlength(name)) + 2 * _GAP
        if left + needed > width and left > _GAP:
            left, top = _GAP, top + _LINE
        places.append((left, top))
        left += needed
    legend = Image.new("RGB", (width, top + _LINE + _GAP), _PAPER)
    pen = ImageDraw.Draw(legend)
    for (name, color), (x, y) in zip(entries, places, strict=True):
        pen.rectangle((x, y + 2, x + 16, y + 18), fill=color, outline=_INK)
        pen.text((x + _LINE, y), name, _INK, _font())
    return legend


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(14)


def _fitted(text: str, width: float) -> str:
    """The text, or its two ends if it is too long: keys often differ only at the end."""
    if _font().getlength(text) <= width:
        return text
    kept = len(text)
    while kept > 1 and _font().getlength(f"{text[: kept // 3]}…{text[-(kept - kept // 3) :]}") > width:
        kept -= 1
    return f"{text[: kept // 3]}…{text[-(kept - kept // 3) :]}"


def _wrapped(text: str, width: float, most: int) -> str:
    lines = [""]
    for character in text:
        if _font().getlength(lines[-1] + character) > width:
            lines.append("")
        lines[-1] += character
    return "\n".join(lines[:most])
