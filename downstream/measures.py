"""The measures of the images of each k beside their floors, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from augment.measures.copies import copy_test, nearest
from augment.measures.floors import against_floor
from augment.measures.frechet import frechet_distance, least_images
from augment.measures.kernels import cmmd, kernel_distance
from augment.measures.manifold import manifold
from augment.measures.vendi import vendi_score
from downstream.measured_images import Agreement, MeasuredImages, Painted

# Sources below which sets are not compared: halves of 25 images give shares in steps of 4 %.
LEAST_SOURCES = 50
# Pairs of a painted image and its nearest training image that are named for each k.
PAIRS = 4
SETS = ("kernel", "precision", "recall", "density", "coverage")

_WITH_FLOORS = ("frechet", *SETS, "cmmd")
FIELDS = [
    ("measured_sources", pa.int64()),
    *((name, pa.float64()) for name in ("patch_diversity", "patch_diversity_of_noise", "patch_diversity_of_photos")),
    *((name, pa.float64()) for name in ("edges", "edges_of_others", "depth", "depth_of_others")),
    ("half", pa.int64()),
    *((f"{name}{part}", pa.float64()) for name in _WITH_FLOORS for part in ("", "_spread", "_floor", "_floor_spread")),
    *((name, pa.float64()) for name in ("vendi", "vendi_on_real", "nearer_to_training", "near_training")),
    *((name, pa.float64()) for name in ("own_source_nearest", "near_distance", "near_training_of_restored")),
    ("not_measured", pa.list_(pa.string())),
]


@dataclass(frozen=True)
class TrainingImages:
    """Training photographs that copies are searched among.

    Attributes:
        keys: of the images.
        vectors: their mean features `float32 [N, C]`.
        restored: those of the first ones after the autoencoder of the base; None where it is not at hand.
        unrestored: why.
    """

    keys: Sequence[str]
    vectors: NDArray[np.float32]
    restored: NDArray[np.float32] | None = None
    unrestored: str = ""


def measures_of(images: MeasuredImages, k: int, training: TrainingImages | None) -> dict[str, Any]:
    """The values of `FIELDS` for one k; null with the reason in `not_measured` where the images are too few.

    Args:
        images: of all sources.
        k: of the painted images.
        training: None searches for no copies.
    """
    painted, reasons = images.painted[k], []
    row: dict[str, Any] = {
        "measured_sources": len(images.keys),
        "patch_diversity": _mean(painted.diversity),
        "patch_diversity_of_noise": _mean(images.of_noise),
        "patch_diversity_of_photos": _mean(images.of_photographs),
        **_agreement("edges", painted.edges),
        **_agreement("depth", painted.depth),
    }
    if images.encoders.depth is None:
        reasons.append("depth: evaluate.depth_model is null")
    real = np.stack(images.vectors)
    if len(real) < LEAST_SOURCES:
        reasons.append(f"distances, coverage, vendi and copies: {len(real)} sources, {LEAST_SOURCES} are needed")
    else:
        row |= _sets(real, painted, reasons) | _cmmd(images, painted, reasons)
        row |= _copies(images, painted, training, reasons)
    return {**row, "not_measured": reasons}


def closest_pairs(
    images: MeasuredImages, k: int, names: Sequence[Sequence[str]], training: TrainingImages | None
) -> list[dict[str, Any]]:
    """The painted images that are nearest to a training image, the nearest first.

    Args:
        images: of all sources.
        k: of the painted images.
        names: keys of the painted images by source and variant.
        training: None gives none.

    Returns:
        key, k, source, the key of the nearest training image, and the distance to it and to the own source.
    """
    if training is None:
        return []
    pairs = []
    for source, vectors, keys in zip(images.keys, images.painted[k].vectors, names, strict=True):
        own = images.vectors[images.keys.index(source)]
        places, distances = nearest(np.stack(vectors), training.vectors)
        for key, vector, place, distance in zip(keys, vectors, places, distances, strict=True):
            to_own = float(np.linalg.norm(vector.astype(np.float64) - own))
            found = {"key": key, "k": k, "source": source, "nearest": training.keys[place]}
            pairs.append({**found, "distance": float(distance), "to_own_source": to_own})
    return sorted(pairs, key=lambda pair: pair["distance"])[:PAIRS]


def _sets(real: NDArray[np.float32], painted: Painted, reasons: list[str]) -> dict[str, Any]:
    """Distances, coverage and Vendi score."""
    variants = _variants(painted.vectors)
    names: list[str] = list(SETS)
    half, needed = len(real) // 2, least_images(real.shape[1])
    if half >= needed:
        names.insert(0, "frechet")
    else:
        reasons.append(f"frechet: halves of {half} images, {needed} are needed for {real.shape[1]} features")

    def measure(real: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
        frechet = [frechet_distance(real, other)] if names[0] == "frechet" else []
        return np.array([*frechet, kernel_distance(real, other), *astuple(manifold(real, other))])

    vendi = float(np.mean([vendi_score(variant) for variant in variants]))
    return {
        **_floored(names, measure, real, variants),
        "half": half,
        "vendi": vendi,
        "vendi_on_real": vendi_score(real),
    }


def _cmmd(images: MeasuredImages, painted: Painted, reasons: list[str]) -> dict[str, Any]:
    if images.encoders.clip is None:
        reasons.append("cmmd: evaluate.clip_model is null")
        return {}

    def measure(real: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.array([cmmd(real, other)])

    return _floored(["cmmd"], measure, np.stack(images.clip), _variants(painted.clip))


def _floored(names: Sequence[str], measure: Any, real: NDArray, variants: NDArray) -> dict[str, float]:
    found = against_floor(measure, real, variants)
    parts = {"": found.value, "_spread": found.spread, "_floor": found.floor, "_floor_spread": found.floor_spread}
    return {f"{name}{part}": float(values[i]) for i, name in enumerate(names) for part, values in parts.items()}


def _copies(
    images: MeasuredImages, painted: Painted, training: TrainingImages | None, reasons: list[str]
) -> dict[str, Any]:
    """Nearest training images, and whether the nearest of all photographs is the own source."""
    if training is None:
        reasons.append("copies: evaluate.train_images is 0")
        return {}
    real = np.stack(images.vectors)
    vectors = np.stack([vector for of_source in painted.vectors for vector in of_source])
    own = np.repeat(np.arange(len(real)), [len(of_source) for of_source in painted.vectors])
    held_out = nearest(real, training.vectors)[1]
    test = copy_test(nearest(vectors, training.vectors)[1], held_out)
    places, _ = nearest(vectors, np.concatenate([real, training.vectors]))
    return {
        "nearer_to_training": test.nearer,
        "near_training": test.share,
        "own_source_nearest": float((places == own).mean()),
        "near_distance": test.threshold,
        "near_training_of_restored": _power(training, held_out, reasons),
    }


def _power(training: TrainingImages, held_out: NDArray[np.float64], reasons: list[str]) -> float | None:
    """Share of copies that the test flags: of training images that the autoencoder of the base has changed."""
    if training.restored is None:
        reasons.append(f"the share of copies that would be flagged: {training.unrestored}")
        return None
    return copy_test(nearest(training.restored, training.vectors)[1], held_out).share


def _variants(by_source: Sequence[Sequence[NDArray[np.float32]]]) -> NDArray[np.float32]:
    """Vectors `float32 [V, N, D]` of as many variants as every source has."""
    count = min(len(variants) for variants in by_source)
    return np.stack([np.stack([variants[number] for variants in by_source]) for number in range(count)])


def _agreement(name: str, agreement: Agreement) -> dict[str, float | None]:
    return {name: _mean(agreement.own), f"{name}_of_others": _mean(agreement.other)}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
