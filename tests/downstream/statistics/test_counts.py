"""What runs counted in single images survives storage, and takes no more memory than it must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from downstream.statistics.counts import ImageCounts, read_all_counts


def test_runs_on_the_same_images_share_their_labels_and_others_do_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2**26, (5, 3))
    first = ImageCounts(tuple("abcde"), ("road", "car", "sky"), label // 2, label, label)
    kept = [first, replace(first, intersection=label // 3), replace(first, label=label[::-1].copy())]
    folders = {("real", seed): tmp_path / str(seed) for seed in range(4)}
    for folder, counts in zip(folders.values(), kept, strict=False):
        folder.mkdir()
        counts.save(folder)
    found = read_all_counts(folders)
    assert list(found) == [("real", seed) for seed in range(3)]
    for counts, read in zip(kept, found.values(), strict=True):
        for name in ("intersection", "label", "prediction", "union"):
            assert getattr(read, name).dtype == np.int32
            np.testing.assert_array_equal(getattr(read, name), getattr(counts, name))
    one, same, other = found.values()
    assert same.label is one.label and same.keys is one.keys
    assert other.label is not one.label
