"""Pictures for the report: a real image, its label and layout, and the images painted on the layout."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from augment.conditioning import LAYOUT, TITLES
from augment.conditioning.pictures import conditioning_picture
from downstream.dataset import label_taxonomy
from pipeline.store import SampleReader, Store
from pipeline.taxonomies import Taxonomy, colorize

# Wider pictures are scaled down to keep the page small.
_MAX_WIDTH = 512


@dataclass(frozen=True)
class Picture:
    """One image of the page as a data URI, with its title."""

    source: str
    title: str


@dataclass(frozen=True)
class GalleryRow:
    """One source: the pictures of the real sample, and for each k those of its variants."""

    key: str
    real: Picture
    label: Picture | None
    layout: Picture | None
    generated: dict[int, list[Picture]]


def gallery(
    real: Store,
    layouts: Store | None,
    synthetic: Store | None,
    split: str | None,
    sources: int,
    conditioning: str = LAYOUT,
) -> list[GalleryRow]:
    """Rows for some samples of a split (None is all), evenly spaced over the sources of its generated images.

    `conditioning` is the kind of what the store of layouts holds.
    """
    rows = synthetic.index().to_pylist() if synthetic else []
    made = [row for row in rows if row["split"] == split] or rows
    keys = sorted({row["source_key"] for row in made}) or sorted(
        row["key"] for row in real.index().to_pylist() if split in (None, row["split"])
    )
    readers = {store.url: SampleReader(store) for store in (real, layouts, synthetic) if store}
    taxonomy = label_taxonomy(real) if real.manifest.taxonomy else None
    return [
        _row(
            key,
            readers[real.url],
            readers.get(layouts.url) if layouts else None,
            readers.get(synthetic.url) if synthetic else None,
            [row for row in made if row["source_key"] == key],
            taxonomy,
            conditioning,
        )
        for key in spaced(keys, sources)
    ]


def spaced(items: Sequence[str], count: int) -> list[str]:
    """Evenly spaced items, `count` of them or all, always the same."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]


def _row(
    key: str,
    real: SampleReader,
    layouts: SampleReader | None,
    synthetic: SampleReader | None,
    made: Sequence[dict[str, Any]],
    taxonomy: Taxonomy | None,
    conditioning: str,
) -> GalleryRow:
    sample = real.read(key)
    assert sample.image is not None
    layout = layouts.read(key).layout if layouts and key in layouts else None
    generated: dict[int, list[Picture]] = {}
    for row in sorted(made, key=lambda row: (row["k"], row["variant"])):
        assert synthetic is not None
        image = synthetic.read(row["key"]).image
        assert image is not None
        title = f"k = {row['k']}, variant {row['variant']}: {row.get('prompt', '')}"
        generated.setdefault(row["k"], []).append(photograph(image, title))
    height, width = sample.image.shape[:2]
    title = "first three components" if conditioning == LAYOUT else TITLES[conditioning]
    palette = taxonomy.palette if taxonomy else None
    return GalleryRow(
        key,
        photograph(sample.image, f"real image {key}"),
        flat(colorize(sample.label, taxonomy), "label") if sample.label is not None and taxonomy else None,
        flat(conditioning_picture(conditioning, layout, height, width, palette), title) if layout is not None else None,
        generated,
    )


def photograph(image: NDArray[np.uint8], title: str) -> Picture:
    """An image `uint8 [H, W, 3]` as WebP."""
    return _picture(image, title, "webp", Image.Resampling.LANCZOS, quality=90, method=4)


def flat(image: NDArray[np.uint8], title: str) -> Picture:
    """An image `uint8 [H, W, 3]` of flat colours as PNG, each pixel exact."""
    return _picture(image, title, "png", Image.Resampling.NEAREST, optimize=True)


def _picture(image: NDArray[np.uint8], title: str, form: str, resampling: Image.Resampling, **options: Any) -> Picture:
    picture = Image.fromarray(image)
    if picture.width > _MAX_WIDTH:
        height = round(picture.height * _MAX_WIDTH / picture.width)
        picture = picture.resize((_MAX_WIDTH, height), resampling)
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return Picture(f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}", title)
