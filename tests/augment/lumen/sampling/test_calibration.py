"""The cheapest way to sample under a bound on loss."""

from __future__ import annotations

import numpy as np
import pytest

from augment.lumen.sampling.calibration import loss_of, trials, work
from augment.lumen.sampling.options import SamplerOptions

EXACT = SamplerOptions(num_steps=20)


def paint(options: SamplerOptions) -> list[np.ndarray]:
    """Images that differ from the exact ones by the work that was left out: by 60 levels if all of it is."""
    lost = 60 * (1 - work(options) / work(EXACT))
    return [np.full((4, 4, 3), round(100 + lost), np.uint8)] * 2


@pytest.mark.parametrize("max_loss", [0.5, 5.0, 12.0, 30.0, 255.0])
def test_no_tried_way_is_over_the_bound_and_the_cheapest_is_near_it(max_loss: float) -> None:
    exact, *found = trials(paint, EXACT, max_loss, has_blocks=True, seconds=60)
    assert exact.options == EXACT and exact.loss == 0
    assert all(0 < one.loss <= max_loss for one in found)
    least = min((work(one.options) for one in found), default=work(EXACT))
    # The lattice of candidates leaves gaps of less than a tenth of the work.
    bound = max(1 - max_loss / 60, 0.32)
    assert bound - 0.01 <= least / work(EXACT) <= bound + 0.1


def test_a_base_without_deep_blocks_keeps_them_all() -> None:
    found = trials(paint, EXACT, 255, has_blocks=False, seconds=60)
    assert len(found) > 1 and all(one.options.reuse_blocks == 1 for one in found)


def test_nothing_is_tried_after_the_time() -> None:
    assert [one.options for one in trials(paint, EXACT, 255, has_blocks=True, seconds=0)] == [EXACT]


def test_what_the_user_has_set_is_where_it_begins() -> None:
    mine = SamplerOptions(num_steps=4, guidance_interval=(0.2, 0.6), reuse_adapter=3)
    for tried in trials(paint, mine, 255, has_blocks=True, seconds=60):
        begin, end = tried.options.guidance_interval
        assert begin == 0.2 and end <= 0.6
        assert 3 <= tried.options.reuse_adapter <= 4
        assert tried.options.model_copy(update=CHOSEN) == mine.model_copy(update=CHOSEN)


CHOSEN = {"reuse_adapter": 1, "reuse_blocks": 1, "guidance_interval": (0, 1)}


def test_the_loss_of_few_images_counts_with_its_uncertainty() -> None:
    black = [np.zeros((2, 2, 3), np.uint8)] * 2
    assert loss_of(black, black) == 0
    assert loss_of([black[0], black[0] + 4], black) == pytest.approx(2 + 2 * 2)
    # Differences in uint8 would wrap around.
    assert loss_of([black[0] + 255], black[:1]) == 255
