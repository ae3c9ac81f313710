"""Classes of a label have colours that readers can distinguish, with normal and red-green blind vision."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from downstream.page.palette import MOST_CLASSES, distinct_colours, readable, visions
from pipeline.taxonomies import ADE20K, CAMVID, CITYSCAPES, Taxonomy


def least_distance(colours: NDArray[np.uint8]) -> float:
    """Of any two colours, in CIELAB, in the vision that distinguishes them least."""
    seen = visions(colours)
    distances = np.linalg.norm(seen[:, :, None] - seen[:, None], axis=-1).min(axis=0)
    return float(distances[np.triu_indices(len(colours), 1)].min())


@pytest.mark.parametrize(("taxonomy", "least"), [(CITYSCAPES, 18), (CAMVID, 28)])
def test_colours_are_further_apart_than_those_of_the_dataset(taxonomy: Taxonomy, least: float) -> None:
    shown = readable(taxonomy, range(len(taxonomy)))
    assert least_distance(np.array(taxonomy.palette, np.uint8)) < 6
    assert least_distance(np.array(shown.palette, np.uint8)) > least
    # Black is for ignored pixels.
    assert least_distance(np.array([*shown.palette, (0, 0, 0)], np.uint8)) > least


def test_only_classes_that_occur_change_their_colour() -> None:
    shown = readable(ADE20K, [3, 70])
    changed = [one for one, (a, b) in enumerate(zip(ADE20K.palette, shown.palette, strict=True)) if a != b]
    assert set(changed) <= {3, 70}
    assert readable(ADE20K, range(MOST_CLASSES + 1)) is ADE20K
    assert len(np.unique(distinct_colours(MOST_CLASSES), axis=0)) == MOST_CLASSES
