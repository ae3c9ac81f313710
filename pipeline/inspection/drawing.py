"""What contact sheets are made of: the samples to show, pictures in boxes, and words that fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.datasets.thinning import thinned
from pipeline.engine import Failed, WorkUnit
from pipeline.inspection.subject import Subject
from pipeline.store import Sample

# Pixels: of the box that an image is fitted into, of the space around it, and of its caption.
WIDTH, TALLEST, GAP, CAPTION = 320, 400, 12, 22
PAPER, INK, FAULT, MARK = (250, 250, 248), (30, 30, 30), (200, 60, 40), (20, 100, 200)


def some_samples(subject: Subject, count: int) -> list[tuple[str, Sample | Failed]]:
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


def draw_fault(sheet: Image.Image, left: int, top: int, tall: int, sample: Failed) -> None:
    """Write why a sample cannot be read into the place of its picture."""
    pen = ImageDraw.Draw(sheet)
    pen.text((left, top), fitted(f"{sample.key}: cannot be read", WIDTH), FAULT, font())
    top += CAPTION
    pen.rectangle((left, top, left + WIDTH - 1, top + tall - 1), outline=FAULT)
    words = _wrapped(sample.reason, WIDTH - 2 * GAP, (tall - 2 * GAP) // CAPTION)
    pen.multiline_text((left + GAP, top + GAP), words, FAULT, font())


def paste(
    sheet: Image.Image, pixels: NDArray[np.uint8], left: int, top: int, tall: int, resampling: Image.Resampling
) -> None:
    """Paste pixels `uint8 [H, W, 3]`, scaled to fit into a box of the width of a tile and this height."""
    height, width = pixels.shape[:2]
    scale = min(WIDTH / width, tall / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    sheet.paste(Image.fromarray(pixels).resize(size, resampling), (left, top))


def numbered(pixels: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """The picture `uint8 [H, W, 3]` with a number in its corner, if that leaves most of it free."""
    left, top, right, bottom = map(int, font().getbbox(text := str(number)))
    if right - left + 6 > pixels.shape[1] / 2 or bottom - top + 6 > pixels.shape[0] / 2:
        return pixels
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, right - left + 5, bottom - top + 5), fill=PAPER)
    pen.text((3 - left, 3 - top), text, INK, font())
    return np.asarray(picture)


def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of all words in a sheet."""
    return ImageFont.load_default(14)


def fitted(text: str, width: float) -> str:
    """The text, or its two ends if it is too long: keys often differ only at the end."""
    if font().getlength(text) <= width:
        return text
    kept = len(text)
    while kept > 1 and font().getlength(f"{text[: kept // 3]}…{text[-(kept - kept // 3) :]}") > width:
        kept -= 1
    return f"{text[: kept // 3]}…{text[-(kept - kept // 3) :]}"


def _wrapped(text: str, width: float, most: int) -> str:
    lines = [""]
    for character in text:
        if font().getlength(lines[-1] + character) > width:
            lines.append("")
        lines[-1] += character
    return "\n".join(lines[:most])
