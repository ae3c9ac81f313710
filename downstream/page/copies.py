"""The painted images that are nearest to a training image, beside it and their source, and what they say of copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import beta, fisher_exact

from augment.measures.copies import NEAR, RESTORED
from downstream.gallery import Picture, photograph
from pipeline.store import SampleReader, Store

_ERROR = 0.05
# A bound above this says nothing that a reader could use.
_LOOSE = 0.5


@dataclass(frozen=True)
class ClosestPair:
    """The painted image of one k that is nearest to a training image.

    Attributes:
        k: that it was painted with.
        painted, source, nearest: the image, the photograph that it was painted on, and the training image.
        distance: from the image to the training image, between their mean features.
        to_own_source: from the image to its source.
        is_near: whether the distance is below that of most held-out photographs; None where that was not measured.
    """

    k: int
    painted: Picture
    source: Picture
    nearest: Picture
    distance: float
    to_own_source: float
    is_near: bool | None


@dataclass(frozen=True)
class Copies:
    """The closest pair of each k, ascending, and what the test for copies says in a few sentences."""

    pairs: tuple[ClosestPair, ...]
    sentences: tuple[str, ...]


def copies(
    closest: Sequence[Mapping[str, Any]], evaluation: Sequence[Mapping[str, Any]], real: Store, synthetic: Store | None
) -> Copies | None:
    """What there is to see of copies; None where nothing was searched for.

    Args:
        closest: of `downstream.measures.closest_pairs`, for all ks; empty in evaluations of earlier versions.
        evaluation: rows of `downstream.evaluation.evaluate`.
        real: store of the photographs.
        synthetic: store of the painted images.
    """
    if synthetic is None or not evaluation or not evaluation[0].get("measured_sources"):
        return None
    photographs, painted = SampleReader(real), SampleReader(synthetic)
    limit = evaluation[0].get("near_distance")
    first = {pair["k"]: pair for pair in sorted(closest, key=lambda pair: pair["distance"], reverse=True)}
    pairs = [
        ClosestPair(
            k,
            _picture(painted, pair["key"], f"k = {k}"),
            _picture(photographs, pair["source"], "its source"),
            _picture(photographs, pair["nearest"], "nearest training image"),
            pair["distance"],
            pair["to_own_source"],
            None if limit is None else pair["distance"] < limit,
        )
        for k, pair in sorted(first.items())
        # The stores may have other images by now.
        if pair["key"] in painted and pair["source"] in photographs and pair["nearest"] in photographs
    ]
    return Copies(tuple(pairs), tuple(_sentences(evaluation)))


def _picture(reader: SampleReader, key: str, caption: str) -> Picture:
    image = reader.read(key).image
    assert image is not None, f"{key} has no image"
    return photograph(image, f"{caption}: {key}", caption)


def _sentences(evaluation: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whether more images are near to training images than photographs are, and how many copies that could miss."""
    first = evaluation[0]
    reasons = dict(reason.partition(": ")[::2] for reason in first["not_measured"] or ())
    if first["near_training"] is None:
        why = next((reason for what, reason in reasons.items() if "copies" in what), "")
        return [f"Whether images are copies was not tested{f': {why}' if why else ''}."]
    shares = ", ".join(f"{_percent(row['near_training'])} at k = {row['k']}" for row in evaluation)
    more = [row["k"] for row in evaluation if _is_more(row, len(evaluation))]
    found = (
        f"That is more than chance at {' and '.join(f'k = {k}' for k in more)}: look for copies"
        if more
        else "That is no more than without copies"
    )
    tested = (
        f"Images that are nearer to a training image than {_percent(1 - NEAR)} of the held-out photographs are: "
        f"{shares}; {_percent(NEAR)} is expected without copies. {found}."
    )
    power = first.get("near_training_of_restored")
    if power is None:
        why = next((reason for what, reason in reasons.items() if "would be flagged" in what), "not measured")
        return [tested, f"How many copies the test would flag is not known: {why}."]
    finds = f"The test would flag {_percent(power)} of copies that the autoencoder of the base has changed"
    return [tested, f"{finds}, {_misses(evaluation, power)}."]


def _is_more(row: Mapping[str, Any], ks: int) -> bool:
    """Whether more painted images are near than held-out photographs, by Fisher's exact test for all ks together."""
    sources = row["measured_sources"]
    near, usual = round(row["near_training"] * sources), round(NEAR * sources)
    return bool(fisher_exact([[near, sources - near], [usual, sources - usual]], "greater").pvalue < _ERROR / ks)


def _misses(evaluation: Sequence[Mapping[str, Any]], power: float) -> str:
    """What share of the images could be copies that the test misses, at most.

    The upper bound of the share of flagged images (Clopper and Pearson 1934, Biometrika 26:404), divided by the lower
    bound of the share of copies that is flagged, which few images are behind; each has half of the error.
    """
    bounds, found = [], round(power * RESTORED)
    least = float(beta.ppf(_ERROR / 2, found, RESTORED - found + 1)) if found else 0.0
    for row in evaluation:
        sources, near = row["measured_sources"], round(row["near_training"] * row["measured_sources"])
        flagged = float(beta.ppf(1 - _ERROR / 2, near + 1, sources - near)) if near < sources else 1.0
        bounds.append(flagged / least if least else 1.0)
    if max(bounds) > _LOOSE:
        return "so it says little: look at the pairs"
    return f"so up to about {_percent(max(bounds))} of the images of a k could be copies and not be noticed"


def _percent(share: float) -> str:
    """With a space that no line ends at."""
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
