"""The images that a judge does not learn from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from downstream.held_back import RUNS_OF_NEIGHBOURS, held_back_keys


@given(st.integers(2, 400), st.floats(0.01, 0.5))
def test_about_the_share_is_held_back_and_never_none_or_all(count: int, share: float) -> None:
    keys = [f"train_{number:04d}" for number in range(count)]
    found = held_back_keys(keys[::-1], share)
    assert found < set(keys)
    assert len(found) == min(max(1, round(share * count)), count - 1)


def test_neighbours_of_a_video_are_held_back_together() -> None:
    keys = [f"{number:04d}" for number in range(367)]
    found = held_back_keys(keys, 0.2)
    begun = [key for number, key in enumerate(keys) if key in found and (not number or keys[number - 1] not in found)]
    assert len(begun) == RUNS_OF_NEIGHBOURS
    assert {int(key) // 74 for key in begun} == {0, 1, 2, 3, 4}


def test_nothing_is_held_back_where_nothing_may_be() -> None:
    assert held_back_keys(["a", "b"], 0) == held_back_keys(["a"], 0.5) == held_back_keys([], 0.5) == frozenset()
