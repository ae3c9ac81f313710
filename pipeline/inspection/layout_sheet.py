"""A contact sheet of layouts: each image, its layout in colour, the views of it, and every component by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

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
    numbered,
    paste,
    some_samples,
)
from pipeline.inspection.subject import Subject
from pipeline.store import Sample

COUNT = 12
# Rows of components and of views, the most components that are shown of a layout, and the space between them.
_COMPONENT_ROWS, _VIEW_ROWS, _MOST, _THIN = 3, 2, 24, 2
_BAR = 180
# The columns of the sheet, in order.
Column: TypeAlias = Literal["image", "layout", "views", "components"]
_COLUMNS: tuple[Column, ...] = get_args(Column)
Cell: TypeAlias = tuple[str, NDArray[np.uint8]]


def layout_sheet(subject: Subject, count: int = COUNT) -> Image.Image:
    """RGB picture with a row for each of at most ``count`` layouts from all over the splits of a store.

    A row shows the image if ``subject.images`` has it, the first three components as red, green and blue, the views in
    the same way, and each component by itself with its number. A column that no row has is left out. All layouts have
    the same mapping of colours, which the legend states. Of the maps of another conditioning, it shows the map and its
    views alone.

    Raises UserError where the subject has no sample.
    """
    samples = some_samples(subject, count)
    if not samples:
        raise UserError(f"{subject.place} has no sample to show")
    found = [_cells(subject, split, sample) for split, sample in samples]
    # As wide as the widest, so that a row without views is in line with the others.
    widths = {
        column: max(cells[column][1].shape[1] for cells in having)
        for column in _COLUMNS
        if (having := [cells for cells in found if not isinstance(cells, Failed) and column in cells])
    }
    rows = [_fault_row(cells) if isinstance(cells, Failed) else _row(cells, widths) for cells in found]
    pictures = [*rows, _legend()] if subject.conditioning == LAYOUT else rows
    size = max(picture.width for picture in pictures) + 2 * GAP, sum(picture.height + GAP for picture in pictures) + GAP
    sheet = Image.new("RGB", size, PAPER)
    top = GAP
    for picture in pictures:
        sheet.paste(picture, (GAP, top))
        top += picture.height + GAP
    return sheet


def _fault_row(failed: Failed) -> Image.Image:
    row = Image.new("RGB", (WIDTH, CAPTION + WIDTH // 2), PAPER)
    draw_fault(row, 0, 0, WIDTH // 2, failed)
    return row


def _row(cells: Mapping[Column, Cell], widths: Mapping[Column, int]) -> Image.Image:
    """The pictures of a layout with their titles, each in its column."""
    tall = max(len(pixels) for _, pixels in cells.values())
    row = Image.new("RGB", (sum(widths.values()) + GAP * (len(widths) - 1), CAPTION + tall), PAPER)
    left = 0
    for column, width in widths.items():
        if column in cells:
            title, pixels = cells[column]
            ImageDraw.Draw(row).text((left, 0), fitted(title, width), INK, font())
            row.paste(Image.fromarray(pixels), (left, CAPTION))
        left += width + GAP
    return row


def _cells(subject: Subject, split: str, sample: Sample | Failed) -> dict[Column, Cell] | Failed:
    """The pictures of a layout with their titles, or why there are none."""
    if isinstance(sample, Failed):
        return sample
    if (layout := sample.layout) is None:
        return Failed(sample.key, "it has no layout")
    scale = min(WIDTH / layout.shape[2], TALLEST / layout.shape[1])
    height, width = (max(1, round(side * scale)) for side in layout.shape[1:])
    # Keys of datasets begin with their split.
    name = sample.key if sample.key.startswith(split) else f"{sample.key}  {split}"
    cells: dict[Column, Cell] = {}
    image = _image(subject, sample.key)
    if image is not None:
        tile = Image.new("RGB", (width, height), PAPER)
        paste(tile, image, 0, 0, height, Image.Resampling.BILINEAR)
        cells["image"] = name, np.asarray(tile)
    kind = subject.conditioning
    title = "components 1 to 3" if kind == LAYOUT else TITLES[kind]
    title = title if image is not None else f"{name}  {title}"
    cells["layout"] = title, conditioning_picture(kind, layout, height, width)
    if sample.views is not None:
        size = _parts(height, _VIEW_ROWS), _parts(width, _VIEW_ROWS)
        views = [conditioning_picture(kind, view, *size) for view in sample.views]
        title = f"{len(views)} views" if len(views) > 1 else "1 view"
        cells["views"] = title, picture_grid(views, _columns(len(views), _VIEW_ROWS), _THIN, PAPER[0])
    if kind == LAYOUT:
        shown = layout[:_MOST]
        tall = _parts(height, _COMPONENT_ROWS)
        size = tall, max(1, round(width * tall / height))
        strips = [numbered(component_picture(component, *size), number + 1) for number, component in enumerate(shown)]
        of = f" of {len(layout)}" if len(layout) > _MOST else ""
        title = f"components 1 to {len(shown)}{of}, row by row, stored as {subject.layout_format}"
        cells["components"] = title, picture_grid(strips, _columns(len(strips), _COMPONENT_ROWS), _THIN, PAPER[0])
    return cells


def _parts(side: int, count: int) -> int:
    """Pixels of each of so many pictures that fill a side."""
    return max(1, (side - _THIN * (count - 1)) // count)


def _columns(count: int, rows: int) -> int:
    """Pictures in each of at most so many rows."""
    return -(-count // rows)


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
