"""Copies look different, show the same, and depend on image and seed alone."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from augment.layouts.changes import photometric_copy
from pipeline.scenes.scene import render_scene

IMAGE = render_scene(3, 64, 96).image


def test_image_and_seed_decide_the_copy_whatever_was_copied_before() -> None:
    seeds = [0, 5, 2**63 - 1]
    first = [photometric_copy(IMAGE, seed) for seed in seeds]
    again = [photometric_copy(IMAGE, seed) for seed in reversed(seeds)][::-1]
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any()


def test_another_process_makes_the_same_copy() -> None:
    code = (
        "import sys, numpy as np; from augment.layouts.changes import photometric_copy; "
        "sys.stdout.buffer.write(photometric_copy(np.frombuffer(sys.stdin.buffer.read(), np.uint8)"
        ".reshape(64, 96, 3), 7).tobytes())"
    )
    made = subprocess.run([sys.executable, "-c", code], input=IMAGE.tobytes(), capture_output=True, check=True).stdout
    assert made == photometric_copy(IMAGE, 7).tobytes()


def test_copies_stay_in_place_and_most_of_them_are_far_from_black() -> None:
    copies = np.stack([photometric_copy(IMAGE, seed) for seed in range(60)]).astype(float)
    levels = copies.mean((1, 2, 3))
    assert (levels > 10).all()
    assert levels.std() > 15
    grey, own = copies.mean(-1).reshape(60, -1), IMAGE.mean(-1).ravel()
    likeness = [np.corrcoef(copy, own)[0, 1] for copy in grey]
    assert np.median(likeness) > 0.85


def test_the_image_is_not_changed() -> None:
    image = IMAGE.copy()
    for seed in range(10):
        photometric_copy(image, seed)
    np.testing.assert_array_equal(image, IMAGE)


def test_changes_are_chosen_independently_of_each_other() -> None:
    """With shared random numbers, all are left out together for three copies in ten."""
    unchanged = np.mean([(photometric_copy(IMAGE, seed) == IMAGE).all() for seed in range(300)])
    assert unchanged < 0.04


def test_threads_make_the_same_copies() -> None:
    seeds = list(range(40))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: photometric_copy(IMAGE, seed), seeds))
    np.testing.assert_array_equal(found, [photometric_copy(IMAGE, seed) for seed in seeds])
