"""Training images that the judge does not learn from: its usual loss is measured on images that it never saw."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.compute as pc

from pipeline.store import Store

# Images of a video follow each other, and neighbours show almost the same. So runs of neighbours are held back, and
# several of them, because one would show one place at one time of day.
RUNS_OF_NEIGHBOURS = 5
_LABEL_SIZE = "label.png:size"


def held_back_keys(keys: Sequence[str], share: float) -> frozenset[str]:
    """About a share (0..1) of the keys: runs of neighbours in sorted order, at even distances.

    One key at least, and never all of them; none of fewer than two keys, or where the share is 0.
    """
    ordered, count = sorted(keys), len(keys)
    if not share or count < 2:
        return frozenset()
    wanted = min(max(1, round(share * count)), count - 1)
    runs = min(RUNS_OF_NEIGHBOURS, wanted)
    found: set[str] = set()
    for run in range(runs):
        end, size = count * (run + 1) // runs, wanted * (run + 1) // runs - wanted * run // runs
        found.update(ordered[end - size : end])
    return frozenset(found)


def labelled_keys(store: Store, split: str) -> list[str]:
    """Keys of the labelled samples of a split."""
    table = store.index()
    if _LABEL_SIZE not in table.column_names:
        return []
    labelled = pc.and_(pc.equal(table["split"], split), pc.is_valid(table[_LABEL_SIZE]))
    return table.filter(labelled)["key"].to_pylist()
