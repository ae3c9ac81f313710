"""What curation did: counts for each k, and pictures of pairs that it dropped, could not judge, or believes little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from downstream.gallery import Picture, flat, photograph, spaced
from pipeline.store import SampleReader, Store
from pipeline.taxonomies import Taxonomy, colorize

# Why curation drops pairs, by the names in its store.
RULES = {
    "unlabelled": "no pixel has a class",
    "misfit": "the label fits the image hardly better than labels of other images",
    "unreliable": "too few of its pixels are believed",
}
# Of each kind.
_SHOWN = 3
_DROPPED, _FAILED = "dropped", "quarantined"
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


@dataclass(frozen=True)
class KCuration:
    """What became of the pairs of one k.

    Attributes:
        k: of the pairs.
        pairs: in the shards that are curated.
        kept: in the curated store.
        dropped: by the rule.
        failed: quarantined, because an error kept curation from judging them.
        reliable: mean share (0..1) of believed pixels in those kept; None if nothing was judged.
    """

    k: int
    pairs: int
    kept: int
    dropped: int
    failed: int
    reliable: float | None


def curation(synthetic: Store | None, curated: Store | None) -> list[KCuration]:
    """The counts for each k, ascending; none without both stores."""
    if synthetic is None or curated is None:
        return []
    shards, failed = curated.done(), set(curated.quarantine()["key"].to_pylist())
    pairs = [row for row in synthetic.index().to_pylist() if row["shard"] in shards]
    kept = curated.index().to_pylist()
    found = []
    for k in sorted({row["k"] for row in pairs}):
        keys, of_k = [row["key"] for row in pairs if row["k"] == k], [row for row in kept if row["k"] == k]
        shares = [share for row in of_k if (share := row.get("reliable")) is not None]
        mean = sum(shares) / len(shares) if shares else None
        failures = sum(key in failed for key in keys)
        found.append(KCuration(k, len(keys), len(of_k), len(keys) - len(of_k) - failures, failures, mean))
    return found


def doubts(synthetic: Store | None, curated: Store | None, taxonomy: Taxonomy | None) -> list[Doubt]:
    """Some pairs that curation dropped or that failed, and kept ones; none if it judged nothing.

    Of the kept ones, those that it believes least and most.
    """
    if synthetic is None or curated is None or taxonomy is None:
        return []
    kept = sorted(
        (row for row in curated.index().to_pylist() if row.get("reliable") is not None),
        key=lambda row: (row["reliable"], row["key"]),
    )
    if not kept:
        return []
    readers = SampleReader(synthetic), SampleReader(curated)
    gone = _gone(synthetic, curated)
    found = []
    for begins in (_DROPPED, _FAILED):
        keys = sorted(key for key, title in gone.items() if title.startswith(begins))
        found += [_doubt(f"{gone[key]}: {key}", {"key": key}, readers, taxonomy) for key in spaced(keys, _SHOWN)]
    least, most = kept[:_SHOWN], kept[_SHOWN:][-_SHOWN:]
    found += [_kept("least believed", row, readers, taxonomy) for row in least]
    found += [_kept("most believed", row, readers, taxonomy) for row in reversed(most)]
    return found


def _gone(synthetic: Store, curated: Store) -> dict[str, str]:
    """Key of each pair that was curated and not kept -> what became of it, with the reason where that is recorded."""
    failed = {row["key"]: row["reason"] for row in curated.quarantine().select(["key", "reason"]).to_pylist()}
    # Reasons are counted for each shard, and not recorded for each pair.
    reasons = {receipt.shard: " or ".join(sorted(receipt.drop_reasons)) for receipt in curated.receipts()}
    kept = set(curated.index()["key"].to_pylist())
    found = {}
    for row in synthetic.index().select(["key", "shard"]).to_pylist():
        if row["shard"] not in reasons or row["key"] in kept:
            continue
        key, reason = row["key"], reasons[row["shard"]]
        found[key] = f"{_FAILED}, {failed[key]}" if key in failed else f"{_DROPPED}, {reason}" if reason else _DROPPED
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
