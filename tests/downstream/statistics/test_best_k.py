"""Which k is recommended, and on what evidence."""

from __future__ import annotations

import re
from typing import Any

from downstream.statistics.best_k import recommend_k

MIXES = {k: f"real+synthetic[k={k}]" for k in (1, 5, 20)}
EVALUATION = [{"k": 5, "alignment": 0.691, "diversity": 0.0961}, {"k": 20, "alignment": None, "diversity": None}]


def rows(**scores: list[float]) -> list[dict[str, Any]]:
    return [
        {"mix": MIXES[int(k[1:])], "seed": seed, "miou": miou}
        for k, of in scores.items()
        for seed, miou in enumerate(of)
    ]


def test_the_k_that_teaches_most_is_taken_with_its_evidence() -> None:
    table = rows(k1=[0.30, 0.325, 0.312], k5=[0.40, 0.4199, 0.4101], k20=[0.41, 0.41, 0.40])
    found = recommend_k([*table, {"mix": "real", "seed": 0, "miou": 0.9}], MIXES, None, EVALUATION, [1, 5])
    assert (found.k, found.equals) == (5, (20,))
    assert re.fullmatch(
        r"Take k=5: 41\.0 mIoU, the highest of k=1, k=5 and k=20 over 3 seeds; reliably above k=1 by \d\.\d to 1\d\.\d "
        r"points; not distinguished from k=20; its images have alignment 0\.69 and diversity 0\.096; "
        r"the layout curves recommend k=1 and k=5\.",
        found.sentence,
    )


def test_ks_are_compared_on_the_seeds_that_all_have() -> None:
    """Three good seeds of one k do not make it better than another that lacks them."""
    found = recommend_k(rows(k1=[0.30, 0.40, 0.90], k5=[0.31, 0.41]), MIXES)
    assert found.k == 5
    assert "over 2 seeds; fewer than 3 seeds, so this may be chance" in found.sentence


def test_one_k_alone_is_no_choice() -> None:
    for table in ([], rows(k5=[0.4, 0.4, 0.4])):
        found = recommend_k(table, MIXES, curve_ks=[3])
        assert found.k is None
        assert found.sentence == (
            "No recommendation of k from training: it takes two mixes or more, each with images of one k; "
            "the layout curves recommend k=3."
        )
