"""Pictures of what curation doubts: the images that it believes least and most, and some that it dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from downstream.gallery import Picture, flat, photograph, spaced
from pipeline.store import SampleReader, Store
from pipeline.taxonomies import Taxonomy, colorize

# Of each kind.
_SHOWN = 3
# Doubted pixels, in no class's colour.
_MARK = (255, 0, 200)
_OPACITY = 0.65


@dataclass(frozen=True)
class Doubt:
    """A synthetic pair: what became of it, its image, its label, and the image with doubted pixels marked."""

    title: str
    image: Picture
    label: Picture
    doubted: Picture | None


def doubts(synthetic: Store | None, curated: Store | None, taxonomy: Taxonomy | None) -> list[Doubt]:
    """Pairs that curation dropped, and of those it kept the ones it believes least and most; none if not judged."""
    if synthetic is None or curated is None or taxonomy is None:
        return []
    kept = sorted(
        (row for row in curated.index().to_pylist() if row.get("reliable") is not None),
        key=lambda row: (row["reliable"], row["key"]),
    )
    shards, keys = curated.done(), {row["key"] for row in curated.index().to_pylist()}
    dropped = [row["key"] for row in synthetic.index().to_pylist() if row["shard"] in shards and row["key"] not in keys]
    if not kept:
        return []
    readers = SampleReader(synthetic), SampleReader(curated)
    least, most = kept[:_SHOWN], kept[_SHOWN:][-_SHOWN:]
    found = [_doubt(f"dropped: {key}", {"key": key}, readers, taxonomy) for key in spaced(sorted(dropped), _SHOWN)]
    found += [_kept("least believed", row, readers, taxonomy) for row in least]
    found += [_kept("most believed", row, readers, taxonomy) for row in reversed(most)]
    return found


def _kept(kind: str, row: Mapping[str, Any], readers: Sequence[SampleReader], taxonomy: Taxonomy) -> Doubt:
    return _doubt(f"{kind}, {100 * row['reliable']:.0f} % of its pixels: {row['key']}", row, readers, taxonomy)


def _doubt(title: str, row: Mapping[str, Any], readers: Sequence[SampleReader], taxonomy: Taxonomy) -> Doubt:
    synthetic, curated = readers
    made = synthetic.read(row["key"])
    assert made.image is not None
    assert made.label is not None
    image, label = photograph(made.image, title), flat(colorize(made.label, taxonomy), "label")
    if row["key"] not in curated:
        return Doubt(title, image, label, None)
    believed = curated.read(row["key"]).label
    assert believed is not None
    doubted = (believed == taxonomy.ignore_index) & (made.label != taxonomy.ignore_index)
    marked = made.image.astype(np.float64)
    marked[doubted] = (1 - _OPACITY) * marked[doubted] + _OPACITY * np.array(_MARK)
    return Doubt(title, image, label, photograph(marked.round().astype(np.uint8), "doubted pixels"))
