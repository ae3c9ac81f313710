"""The cheapest way to sample under a bound on loss."""

from __future__ import annotations

import numpy as np
import pytest

from augment.lumen.sampling import calibration
from augment.lumen.sampling.calibration import Measured, best_of, loss_of, trials
from augment.lumen.sampling.options import SamplerOptions

EXACT = SamplerOptions(num_steps=12)


def levels(options: SamplerOptions) -> float:
    """A loss that grows with what is left out: least with fewer steps, most with less guidance."""
    reuse = (options.reuse_adapter - 1) + 3 * (options.reuse_blocks - 1)
    return (12 - options.num_steps) + 2 * reuse + 40 * (1 - options.guidance_interval[1])


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that passes in `paint` alone."""
    monkeypatch.setattr(calibration, "monotonic", lambda: CLOCK[0])


CLOCK = [0.0]


def paint(options: SamplerOptions) -> list[np.ndarray]:
    CLOCK[0] += options.num_steps / options.reuse_blocks
    return [np.full((4, 4, 3), round(100 + levels(options)), np.uint8)] * 2


@pytest.mark.parametrize(("max_loss", "steps", "blocks"), [(1.5, 12, 1), (2, 10, 1), (6, 6, 1), (255, 4, 5)])
def test_each_means_goes_as_far_as_the_bound_allows(max_loss: float, steps: int, blocks: int) -> None:
    exact, *found = trials(paint, EXACT, max_loss, has_blocks=True, seconds=1000)
    assert exact.options == EXACT and exact.loss == 0
    assert all(0 < one.loss == round(levels(one.options)) <= max_loss for one in found)
    assert min((one.options.num_steps for one in found), default=12) == steps
    assert max((one.options.reuse_blocks for one in found), default=1) == blocks


def test_what_is_left_of_the_bound_goes_to_another_means() -> None:
    found = trials(paint, EXACT, 11, has_blocks=True, seconds=1000)
    assert any(one.options.num_steps < 12 and one.options.reuse_adapter == 2 for one in found)


def test_a_base_without_deep_blocks_keeps_them_all() -> None:
    found = trials(paint, EXACT, 255, has_blocks=False, seconds=1000)
    assert len(found) > 1 and all(one.options.reuse_blocks == 1 for one in found)


def test_nothing_is_tried_after_the_time() -> None:
    assert [one.options for one in trials(paint, EXACT, 255, has_blocks=True, seconds=0)] == [EXACT]


def test_what_the_user_has_set_is_where_it_begins() -> None:
    mine = SamplerOptions(num_steps=4, guidance_interval=(0.2, 0.6), reuse_adapter=3)
    for tried in trials(paint, mine, 255, has_blocks=True, seconds=1000):
        begin, end = tried.options.guidance_interval
        assert begin == 0.2 and end <= 0.6
        assert 3 <= tried.options.reuse_adapter <= 4
        assert tried.options.num_steps <= 4
        assert tried.options.model_copy(update=CHOSEN) == mine.model_copy(update=CHOSEN)


def test_cuda_graphs_keep_nothing_across_steps() -> None:
    graphs = SamplerOptions(compile="reduce-overhead")
    assert all(one.options.reuse_adapter == 1 for one in trials(paint, graphs, 255, has_blocks=True, seconds=1000))
    with pytest.raises(ValueError, match="compile=default"):
        SamplerOptions(compile="reduce-overhead", reuse_adapter=2)


CHOSEN = {"num_steps": 12, "reuse_adapter": 1, "reuse_blocks": 1, "guidance_interval": (0, 1)}


def test_the_loss_of_few_images_counts_with_its_uncertainty() -> None:
    black = [np.zeros((2, 2, 3), np.uint8)] * 2
    assert loss_of(black, black) == 0
    assert loss_of([black[0], black[0] + 4], black) == pytest.approx(2 + 2 * 2)
    # Differences in uint8 would wrap around.
    assert loss_of([black[0] + 255], black[:1]) == 255


@pytest.mark.parametrize(("seconds", "chosen"), [([1.0, 0.98, 0.99], 0), ([1.0, 0.98, 0.9], 2), ([1.0], 0)])
def test_what_is_hardly_faster_changes_nothing(seconds: list[float], chosen: int) -> None:
    found = [Measured(SamplerOptions(num_steps=9 - i), float(i), one) for i, one in enumerate(seconds)]
    assert best_of(found) is found[chosen]
