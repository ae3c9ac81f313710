"""Curves distinguish a basis that follows the scene from one that follows its appearance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from augment.layouts.basis import LayoutBasis
from augment.layouts.curve_chart import curve_chart
from augment.layouts.curves import Curves, KPoint, recommended_ks
from augment.layouts.encoding import Encoder
from augment.layouts.measuring import curves_of, merged_sums, sums_of
from augment.layouts.readers import fit_readers

CLASSES = 2
Batch = tuple[np.ndarray, np.ndarray, list[int]]
Batches = Iterator[Batch]


def encode(images: np.ndarray) -> torch.Tensor:
    """Features of a cell: whether its pixels vary (the class), its mean level (appearance), and its row."""
    count, height, width = images.shape[:3]
    cells = images.mean(-1).reshape(count, height // 8, 8, width // 8, 8)
    textured = (cells.std((2, 4)) / (cells.mean((2, 4)) + 1) > 0.05).astype(float)
    rows = np.broadcast_to(np.linspace(-1, 1, height // 8)[:, None], textured.shape[1:])
    maps = np.stack([textured, cells.mean((2, 4)) / 255, np.broadcast_to(rows, textured.shape)], axis=1)
    return torch.from_numpy(maps).float()


def batches(seed: int, count: int = 24) -> Batches:
    """Images of smooth and textured cells of class 0 and 1."""
    generator = np.random.default_rng(seed)
    for start in range(0, count, 8):
        classes = generator.integers(0, CLASSES, (8, 4, 6))
        noise = generator.integers(-60, 60, (8, 32, 48, 1))
        pixels = 120 + noise * classes.repeat(8, axis=1).repeat(8, axis=2)[..., None]
        yield np.repeat(pixels, 3, axis=-1).astype(np.uint8), classes, list(range(start, start + 8))


def basis(first: int) -> LayoutBasis:
    """A basis whose components are the features, `first` in front."""
    order = [first, *(channel for channel in range(3) if channel != first)]
    return LayoutBasis(np.array([0.5, 0.5, 0]), np.eye(3)[order], np.ones(3), "net", "r1", 100)


def measured(
    bases: dict[str, LayoutBasis],
    train: list[Batch],
    held_out: Iterable[Batch],
    ks: tuple[int, ...] = (1,),
    changes: tuple[str, ...] = (),
) -> dict[str, Curves]:
    encoder = Encoder(encode, bases)
    labelled = sum(int((classes >= 0).sum()) for _, classes, _ in train)
    readers = fit_readers(encoder, train, labelled, dict.fromkeys(bases, ks), CLASSES)
    sums = sums_of(encoder, readers, held_out, changes)
    return {name: curves_of(basis, readers[name], sums[name], ks) for name, basis in bases.items()}


@pytest.fixture(scope="module")
def curves() -> dict[str, Curves]:
    bases = {"scene": basis(0), "appearance": basis(1), "position": basis(2)}
    return measured(bases, list(batches(0)), batches(1), (1, 3), ("gain 0.4", "blur"))


def test_classes_are_read_off_the_basis_that_has_them(curves: dict[str, Curves]) -> None:
    scores = {name: found.at(1).miou for name, found in curves.items()}
    assert scores["scene"] == pytest.approx(1, abs=0.05)
    assert (scores["appearance"] or 0) < 0.7 and (scores["position"] or 0) < 0.7
    # With all three components the bases hold the same.
    last = [found.at(3).miou for found in curves.values()]
    assert last == pytest.approx([last[0]] * 3, abs=0.02)


def test_a_gain_is_read_off_appearance_alone(curves: dict[str, Curves]) -> None:
    assert curves["appearance"].at(1).leak["gain"] > 0.2
    assert curves["scene"].at(1).leak["gain"] < 0.1
    assert curves["appearance"].shifts["gain 0.4"][0] > 3 * curves["scene"].shifts["gain 0.4"][0]


def test_position_is_that_of_the_component(curves: dict[str, Curves]) -> None:
    assert curves["position"].at(1).position == pytest.approx(1, abs=1e-3)
    assert curves["scene"].at(1).position < 0.1
    assert curves["scene"].positions[2] == pytest.approx(1, abs=1e-3)


def test_explained_variance_grows_to_one(curves: dict[str, Curves]) -> None:
    for found in curves.values():
        assert found.at(1).explained < found.at(3).explained
        assert found.at(3).explained == pytest.approx(1)


def test_without_labels_all_but_the_classes_is_measured() -> None:
    bases = {"scene": basis(0)}
    unlabelled = [(images, np.full_like(classes, -1), seeds) for images, classes, seeds in batches(0)]
    for train, held_out in ((unlabelled, batches(1)), (list(batches(0)), unlabelled)):
        point = measured(bases, train, held_out, changes=("blur",))["scene"].at(1)
        assert point.miou is None and not point.changed_miou
        assert point.explained > 0


def test_sums_add_up_over_any_division() -> None:
    bases, parts = {"scene": basis(0)}, list(batches(1))
    encoder = Encoder(encode, bases)
    readers = fit_readers(encoder, batches(0), 10**6, {"scene": (1, 3)}, CLASSES)
    whole, *others = (
        curves_of(bases["scene"], readers["scene"], sums["scene"], (1, 3))
        for sums in (
            sums_of(encoder, readers, parts, ("gain 0.4",)),
            merged_sums(sums_of(encoder, readers, [part], ("gain 0.4",)) for part in parts),
            sums_of(
                encoder,
                readers,
                [
                    (
                        np.concatenate([i for i, _, _ in parts]),
                        np.concatenate([c for _, c, _ in parts]),
                        [s for _, _, seeds in parts for s in seeds],
                    )
                ],
                ("gain 0.4",),
            ),
        )
    )
    for other in others:
        np.testing.assert_allclose(figures(other.to_json()), figures(whole.to_json()), rtol=1e-9, atol=1e-12)


def figures(stored: Any) -> list[float]:
    """All numbers in curves as they are stored."""
    if isinstance(stored, dict):
        stored = list(stored.values())
    return [number for each in stored for number in figures(each)] if isinstance(stored, list | tuple) else [stored]


def test_a_probe_is_fitted_on_cells_of_every_column_and_on_labelled_ones_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sixth cell of six columns would be those of the first one, which has no label here."""
    bases = {"scene": basis(0)}

    def labelled(of_first: int) -> Batches:
        for images, classes, seeds in batches(0):
            classes[:, :, 0] = of_first
            yield images, classes, seeds

    monkeypatch.setattr("augment.layouts.readers.MOST_CELLS", 4 * 24)
    for of_first in (-1, 1):
        found = measured(bases, list(labelled(of_first)), batches(1))
        assert found["scene"].at(1).miou == pytest.approx(1, abs=0.05)


def test_a_basis_of_standardised_images_gets_such() -> None:
    seen: list[float] = []

    def noting(images: np.ndarray) -> torch.Tensor:
        seen.append(float(images.std()))
        return encode(images)

    both = {"raw": basis(0), "standardised": LayoutBasis(**{**basis(0).__dict__, "standardized": True})}
    Encoder(noting, both | {"again": basis(1)}).layouts(next(batches(0))[0])
    # The images are prepared in two ways, and not once for each basis.
    assert len(seen) == 2
    assert seen[1] == pytest.approx(57, abs=5)


def test_curves_survive_their_file(curves: dict[str, Curves]) -> None:
    for found in curves.values():
        assert Curves.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_the_chart_has_a_line_for_each_basis_and_is_the_same_each_time(curves: dict[str, Curves]) -> None:
    chart = curve_chart(curves)
    ElementTree.fromstring(chart)
    assert all(f"{name}: unchanged images" in chart for name in curves)
    assert chart == curve_chart(curves)


def points(scores: dict[int, float]) -> list[KPoint]:
    return [KPoint(k, 0.5, score, {}, {}, {}, 0.0) for k, score in scores.items()]


def test_recommended_ks_are_the_smallest_at_each_share_of_the_best() -> None:
    assert recommended_ks(points({1: 0.1, 2: 0.41, 5: 0.48, 10: 0.5, 20: 0.499})) == (2, 5, 10)
    assert recommended_ks(points({1: 0.5, 2: 0.4})) == (1,)
