"""Pictures for the report: a real image, its label and layout, and the images painted on the layout."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from augment.conditioning import LAYOUT, TITLES
from augment.conditioning.pictures import conditioning_picture
from downstream.dataset import label_taxonomy
from downstream.page.palette import readable
from pipeline.store import Sample, SampleReader, Store
from pipeline.taxonomies import Taxonomy, colorize

# Wider pictures are scaled down to keep the page small.
_MAX_WIDTH = 512
# Images of one source and k that are shown.
_MOST_VARIANTS = 6
# Metadata of a synthetic sample, true if its layout and label were edited.
EDITED = "edited"
# Text columns of both indexes that say nothing of what an image shows.
_SAME = frozenset({"key", "shard", "split", "medium", "source"})


@dataclass(frozen=True)
class Picture:
    """One image of the page as a data URI, with its title."""

    source: str
    title: str
    caption: str = ""


@dataclass(frozen=True)
class GalleryRow:
    """One source: the pictures of the real sample, and for each k those of its variants.

    An edited image is followed by its own label. `made` is the number of images of each k, shown or not.
    """

    key: str
    real: Picture
    label: Picture | None
    layout: Picture | None
    generated: dict[int, list[Picture]]
    made: dict[int, int]


@dataclass(frozen=True)
class Gallery:
    """Some sources with what was painted on them, and the classes of their labels, as names with colours of CSS."""

    rows: list[GalleryRow]
    legend: list[tuple[str, str]]
    taxonomy: Taxonomy | None


def gallery(
    real: Store,
    layouts: Store | None,
    synthetic: Store | None,
    split: str | None,
    sources: int,
    conditioning: str = LAYOUT,
) -> Gallery:
    """Rows for some samples of a split (None is all), evenly spaced over the sources of its generated images.

    `conditioning` is the kind of what the store of layouts holds.
    """
    rows = synthetic.index().to_pylist() if synthetic else []
    made = [row for row in rows if row["split"] == split] or rows
    of_real = {row["key"]: row for row in real.index().to_pylist()}
    keys = sorted({row["source_key"] for row in made}) or sorted(
        key for key, row in of_real.items() if split in (None, row["split"])
    )
    reader = SampleReader(real)
    samples = {key: reader.read(key) for key in spaced(keys, sources)}
    taxonomy = _taxonomy(real, samples.values())
    painter = _Painter(
        SampleReader(layouts) if layouts else None,
        SampleReader(synthetic) if synthetic else None,
        taxonomy,
        conditioning,
    )
    found = [
        painter.row(sample, of_real[key], [row for row in made if row["source_key"] == key])
        for key, sample in samples.items()
    ]
    return Gallery(found, _legend(taxonomy, samples.values()), taxonomy)


def spaced(items: Sequence[str], count: int) -> list[str]:
    """Evenly spaced items, `count` of them or all, always the same."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]


def _occurring(samples: Iterable[Sample], taxonomy: Taxonomy) -> list[int]:
    """Train ids of the classes in the labels, ascending."""
    found = [np.unique(sample.label) for sample in samples if sample.label is not None]
    ids = np.unique(np.concatenate(found)) if found else np.empty(0, int)
    return [int(train_id) for train_id in ids if train_id < len(taxonomy)]


def _taxonomy(real: Store, samples: Iterable[Sample]) -> Taxonomy | None:
    """The classes of the labels in colours that readers can distinguish."""
    if not real.manifest.taxonomy:
        return None
    taxonomy = label_taxonomy(real)
    return readable(taxonomy, _occurring(samples, taxonomy))


def _legend(taxonomy: Taxonomy | None, samples: Iterable[Sample]) -> list[tuple[str, str]]:
    if taxonomy is None:
        return []
    occurring = _occurring(samples, taxonomy)
    return [(taxonomy.classes[index], "#{:02x}{:02x}{:02x}".format(*taxonomy.palette[index])) for index in occurring]


@dataclass(frozen=True)
class _Painter:
    """Makes the pictures of a source."""

    layouts: SampleReader | None
    synthetic: SampleReader | None
    taxonomy: Taxonomy | None
    conditioning: str

    def row(self, sample: Sample, source: Mapping[str, Any], made: Sequence[Mapping[str, Any]]) -> GalleryRow:
        """The pictures of a source and of the images made of it; `source` and `made` are rows of the indexes."""
        assert sample.image is not None
        generated: dict[int, list[Picture]] = {}
        counts: dict[int, int] = {}
        for row in sorted(made, key=lambda row: (row["k"], row["variant"])):
            counts[row["k"]] = counts.get(row["k"], 0) + 1
            if counts[row["k"]] <= _MOST_VARIANTS:
                generated.setdefault(row["k"], []).extend(self.painted(row, source))
        label = self.label(sample, "label")
        shown = photograph(sample.image, f"real image {sample.key}")
        return GalleryRow(sample.key, shown, label, self.layout(sample), generated, counts)

    def painted(self, row: Mapping[str, Any], source: Mapping[str, Any]) -> list[Picture]:
        """An image that was made, captioned with what differs from its source, and its label if that was edited."""
        assert self.synthetic is not None
        made = self.synthetic.read(row["key"])
        assert made.image is not None
        changed = [
            str(value)
            for name, value in row.items()
            if isinstance(value, str) and name in source and name not in _SAME and value != source[name]
        ]
        edited = bool(row.get(EDITED))
        caption = ", ".join([*changed, *(["edited"] if edited else [])])
        title = f"k = {row['k']}, variant {row['variant']}: {row.get('prompt', '')}"
        picture = photograph(made.image, title, caption)
        label = self.label(made, f"edited label of variant {row['variant']}") if edited else None
        return [picture, label] if label else [picture]

    def label(self, sample: Sample, title: str) -> Picture | None:
        """The label of a sample."""
        if sample.label is None or self.taxonomy is None:
            return None
        return flat(colorize(sample.label, self.taxonomy), title)

    def layout(self, sample: Sample) -> Picture | None:
        """What images are painted on."""
        layout = self.layouts.read(sample.key).layout if self.layouts and sample.key in self.layouts else None
        if layout is None or sample.image is None:
            return None
        height, width = sample.image.shape[:2]
        title = "first three components" if self.conditioning == LAYOUT else TITLES[self.conditioning]
        palette = self.taxonomy.palette if self.taxonomy else None
        return flat(conditioning_picture(self.conditioning, layout, height, width, palette), title)


def photograph(image: NDArray[np.uint8], title: str, caption: str = "") -> Picture:
    """An image `uint8 [H, W, 3]` as WebP."""
    return _picture(image, title, caption, "webp", Image.Resampling.LANCZOS, quality=90, method=4)


def flat(image: NDArray[np.uint8], title: str) -> Picture:
    """An image `uint8 [H, W, 3]` of flat colours as PNG, each pixel exact."""
    return _picture(image, title, "", "png", Image.Resampling.NEAREST, optimize=True)


def _picture(
    image: NDArray[np.uint8], title: str, caption: str, form: str, resampling: Image.Resampling, **options: Any
) -> Picture:
    picture = Image.fromarray(image)
    if picture.width > _MAX_WIDTH:
        height = round(picture.height * _MAX_WIDTH / picture.width)
        picture = picture.resize((_MAX_WIDTH, height), resampling)
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return Picture(f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}", title, caption)
