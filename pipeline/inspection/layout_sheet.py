"""A contact sheet of layouts: each image, its layout in colour, the views of it, and every component by itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from augment.conditioning import LAYOUT, TITLES
from augment.conditioning.pictures import conditioning_picture
from augment.errors import UserError
from augment.layouts.pictures import ONE, THREE, component_picture, picture_grid
from pipeline.engine import Failed, WorkUnit
from pipeline.inspection.drawing import (
    CAPTION,
    GAP,
    INK,
    PAPER,
    TALLEST,
    WIDTH,
    draw_fault,
    fitted,
    font,
    paste,
    some_samples,
)
from pipeline.inspection.subject import Subject
from pipeline.store import Sample

COUNT = 12
# Components and views in a column, the most components that are shown of a layout, and the space between them.
_COMPONENTS, _VIEWS, _MOST, _THIN = 3, 2, 24, 2
_BAR = 180


def layout_sheet(subject: Subject, count: int = COUNT) -> Image.Image:
    """RGB picture with a row for each of at most ``count`` layouts from all over the splits of a store.

    A row shows the image if ``subject.images`` has it, the first three components as red, green and blue, the views in
    the same way, and each component by itself. All layouts have the same mapping of colours, which the legend states.
    Of the maps of another conditioning, it shows the map and its views alone.

    Raises UserError where the subject has no sample.
    """
    samples = some_samples(subject, count)
    if not samples:
        raise UserError(f"{subject.place} has no sample to show")
    rows = [_row(subject, split, sample) for split, sample in samples]
    pictures = [*rows, _legend()] if subject.conditioning == LAYOUT else rows
    size = max(picture.width for picture in pictures) + 2 * GAP, sum(picture.height + GAP for picture in pictures) + GAP
    sheet = Image.new("RGB", size, PAPER)
    top = GAP
    for picture in pictures:
        sheet.paste(picture, (GAP, top))
        top += picture.height + GAP
    return sheet


def _row(subject: Subject, split: str, sample: Sample | Failed) -> Image.Image:
    if isinstance(sample, Failed) or sample.layout is None:
        row = Image.new("RGB", (WIDTH, CAPTION + WIDTH // 2), PAPER)
        failed = sample if isinstance(sample, Failed) else Failed(sample.key, "it has no layout")
        draw_fault(row, 0, 0, WIDTH // 2, failed)
        return row
    pictures = list(_pictures(subject, split, sample, sample.layout))
    width = sum(pixels.shape[1] + GAP for _, pixels in pictures) - GAP
    row = Image.new("RGB", (width, CAPTION + max(len(pixels) for _, pixels in pictures)), PAPER)
    left = 0
    for title, pixels in pictures:
        ImageDraw.Draw(row).text((left, 0), fitted(title, pixels.shape[1]), INK, font())
        row.paste(Image.fromarray(pixels), (left, CAPTION))
        left += pixels.shape[1] + GAP
    return row


def _pictures(
    subject: Subject, split: str, sample: Sample, layout: NDArray[np.float16]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The pictures of a row with their titles."""
    scale = min(WIDTH / layout.shape[2], TALLEST / layout.shape[1])
    height, width = (max(1, round(side * scale)) for side in layout.shape[1:])
    # Keys of datasets begin with their split.
    name = sample.key if sample.key.startswith(split) else f"{sample.key}  {split}"
    image = _image(subject, sample.key)
    if image is not None:
        tile = Image.new("RGB", (width, height), PAPER)
        paste(tile, image, 0, 0, height, Image.Resampling.BILINEAR)
        yield name, np.asarray(tile)
    kind = subject.conditioning
    title = "components 1 to 3" if kind == LAYOUT else TITLES[kind]
    yield title if image is not None else f"{name}  {title}", conditioning_picture(kind, layout, height, width)
    if sample.views is not None:
        small = (max(1, (side - _THIN) // _VIEWS) for side in (height, width))
        size = next(small), next(small)
        views = picture_grid([conditioning_picture(kind, view, *size) for view in sample.views], _VIEWS, _THIN)
        yield f"{len(sample.views)} views", views
    if kind != LAYOUT:
        return
    shown = layout[:_MOST]
    tall = max(1, (height - _THIN * (_COMPONENTS - 1)) // _COMPONENTS)
    strips = [component_picture(component, tall, max(1, round(width * tall / height))) for component in shown]
    of = f" of {len(layout)}" if len(layout) > _MOST else ""
    title = f"components 1 to {len(shown)}{of}, column by column, stored as {subject.layout_format}"
    yield title, picture_grid(strips, _COMPONENTS, _THIN)


def _image(subject: Subject, key: str) -> NDArray[np.uint8] | None:
    """The image that a layout is of; None where it is not there."""
    if subject.images is None:
        return None
    [found] = subject.images.read(WorkUnit("image-000000", (key,)))
    return None if isinstance(found, Failed) else found.image


def _legend() -> Image.Image:
    """The mapping of colours: a bar of single components, and what three of them mean."""
    bar = component_picture(np.linspace(-ONE, ONE, _BAR)[None], CAPTION, _BAR)
    low, high = f"one component: {-ONE:g}", f"{ONE:g} standard deviations of the data that the basis was fitted on"
    three = f"components 1 to 3: red, green and blue, grey is 0, {-THREE:g} to {THREE:g} from dark to bright"
    texts = [low, high, three]
    widths = [int(font().getlength(text)) + GAP for text in texts]
    legend = Image.new("RGB", (sum(widths) + _BAR + 2 * GAP, CAPTION), PAPER)
    pen, left = ImageDraw.Draw(legend), 0
    for text, width in zip(texts, widths, strict=True):
        pen.text((left, 2), text, INK, font())
        left += width
        if text is low:
            legend.paste(Image.fromarray(bar), (left, 0))
            left += _BAR + GAP
    return legend
