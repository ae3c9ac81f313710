"""Rendered scenes: the same bytes again, labels independent of the weather, labels that fit the image."""

from __future__ import annotations

import numpy as np
import pytest

from augment.errors import UserError
from pipeline.scenes import render_scene
from pipeline.scenes.world.labels import INSTANCE_LABELS, LabelId
from pipeline.scenes.world.light import TIMES, WEATHERS

EVALUATED = {7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33}


def test_same_seed_gives_same_bytes() -> None:
    first, second = render_scene(11, 64, 128), render_scene(11, 64, 128)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.label_ids.tobytes() == second.label_ids.tobytes()
    assert first.instance_ids.tobytes() == second.instance_ids.tobytes()
    assert first.attributes == second.attributes


def test_seeds_give_different_streets() -> None:
    scenes = [render_scene(seed, 48, 96) for seed in range(4)]
    for i, one in enumerate(scenes):
        for other in scenes[:i]:
            assert (one.label_ids != other.label_ids).mean() > 0.1


def test_light_and_weather_never_change_labels() -> None:
    reference = render_scene(5, 64, 128)
    images = []
    for time in TIMES:
        for weather in WEATHERS:
            scene = render_scene(5, 64, 128, time_of_day=time, weather=weather)
            assert scene.attributes == {"time_of_day": time, "weather": weather}
            np.testing.assert_array_equal(scene.label_ids, reference.label_ids)
            np.testing.assert_array_equal(scene.instance_ids, reference.instance_ids)
            images.append(scene.image.astype(np.float32))
    for i, one in enumerate(images):
        for other in images[:i]:
            assert np.abs(one - other).mean() > 2.0


def test_naming_the_sampled_conditions_changes_nothing() -> None:
    sampled = render_scene(8, 64, 128)
    named = render_scene(8, 64, 128, **sampled.attributes)  # type: ignore[arg-type]
    assert named.image.tobytes() == sampled.image.tobytes()


def test_night_is_darker_than_day() -> None:
    for seed in (1, 2, 3):
        day = render_scene(seed, 48, 96, "day", "clear").image.mean()
        night = render_scene(seed, 48, 96, "night", "clear").image.mean()
        assert night < 0.7 * day


def test_fifty_scenes_show_the_evaluated_classes() -> None:
    seen: set[int] = set()
    conditions = set()
    for seed in range(50):
        scene = render_scene(seed, 64, 128)
        assert set(np.unique(scene.label_ids).tolist()) <= {int(label) for label in LabelId}
        seen |= set(np.unique(scene.label_ids).tolist())
        conditions.add(tuple(sorted(scene.attributes.values())))
    assert len(seen & EVALUATED) >= 18
    assert len(conditions) >= 8


def test_instances_agree_with_labels() -> None:
    for seed in range(6):
        scene = render_scene(seed, 64, 128)
        thing = np.isin(scene.label_ids, list(INSTANCE_LABELS))
        assert thing.any()
        assert (scene.instance_ids[thing] // 1000 == scene.label_ids[thing]).all()
        np.testing.assert_array_equal(scene.instance_ids[~thing], scene.label_ids[~thing])


@pytest.mark.parametrize("seed", [0, 3, 17])
def test_another_size_shows_the_same_scene(seed: int) -> None:
    small, large = render_scene(seed, 96, 192), render_scene(seed, 192, 384)
    # Nearest pixel centres of the large labels: each small pixel covers two by two large ones.
    even, odd = large.label_ids[::2, ::2], large.label_ids[1::2, 1::2]
    agree = (small.label_ids == even) | (small.label_ids == odd)
    assert agree.mean() > 0.95
    assert small.attributes == large.attributes
    shrunk = large.image.reshape(96, 2, 192, 2, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - small.image).mean() < 16


def test_pixels_and_labels_share_their_edges() -> None:
    """Where a label ends the picture changes: steps are larger across label borders than within labels."""
    for seed in range(3):
        scene = render_scene(seed, 128, 256, "day", "cloudy")
        step = np.abs(np.diff(scene.image.astype(np.float32), axis=1)).mean(axis=2)
        border = scene.label_ids[:, 1:] != scene.label_ids[:, :-1]
        assert step[border].mean() > 2.5 * step[~border].mean()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((-1, 64, 64), "seed"),
        ((0, 8, 64), "size"),
        ((0, 64, 64, "noon"), "time of day"),
        ((0, 64, 64, "day", "hail"), "weather"),
    ],
)
def test_mistakes_are_reported_in_one_line(arguments: tuple[object, ...], word: str) -> None:
    with pytest.raises(UserError, match=word) as error:
        render_scene(*arguments)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
