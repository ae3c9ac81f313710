"""Known changes do what their names say, by the strength they report."""

from __future__ import annotations

import numpy as np
import pytest

from augment.layouts.known_changes import KNOWN_CHANGES, STRENGTHS, random_change
from pipeline.scenes.scene import render_scene

IMAGE = render_scene(3, 64, 96, "day", "clear").image


@pytest.mark.parametrize("name", KNOWN_CHANGES)
def test_a_change_depends_on_image_and_seed_alone_and_leaves_the_image(name: str) -> None:
    before = IMAGE.copy()
    one, other = (KNOWN_CHANGES[name](IMAGE, 5) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(IMAGE, before)
    assert one.shape == IMAGE.shape and one.dtype == np.uint8
    assert (one != IMAGE).any()


def test_night_is_dark_and_blue() -> None:
    levels = KNOWN_CHANGES["night"](IMAGE, 0).mean((0, 1))
    assert levels.mean() < 0.4 * IMAGE.mean()
    assert levels[2] / levels[0] > IMAGE[..., 2].mean() / IMAGE[..., 0].mean()


def test_strengths_are_those_that_were_applied() -> None:
    changes = [random_change(IMAGE, seed) for seed in range(200)]
    strengths = np.stack([strength for _, strength in changes])
    levels = np.array([changed.mean() for changed, _ in changes])
    red, blue = (np.array([changed[..., i].mean() for changed, _ in changes]) for i in (0, 2))
    edges = np.array([np.abs(np.diff(changed.astype(float), axis=1)).mean() for changed, _ in changes])
    by_name = dict(zip(STRENGTHS, strengths.T, strict=True))
    assert np.corrcoef(by_name["gain"], np.log(levels))[0, 1] > 0.5
    assert np.corrcoef(by_name["gamma"], np.log(levels))[0, 1] < -0.4
    assert np.corrcoef(by_name["cast"], np.log(blue / red))[0, 1] > 0.9
    assert np.corrcoef(by_name["blur"], edges / levels)[0, 1] < -0.5
    assert strengths.min(0) == pytest.approx([np.log(0.35), np.log(0.5), -0.3, 0], abs=0.1)
