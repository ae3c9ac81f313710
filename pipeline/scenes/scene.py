"""One rendered street scene with its labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.scenes.rendering.lens import bloom, develop, precipitation, reflect
from pipeline.scenes.rendering.raster import rasterize
from pipeline.scenes.rendering.shading import shade
from pipeline.scenes.rendering.shadows import render_shadow
from pipeline.scenes.rendering.sky import render_sky
from pipeline.scenes.world.composition import build_scenery
from pipeline.scenes.world.labels import LabelId
from pipeline.scenes.world.light import TIMES, WEATHERS, TimeOfDay, Weather, sample_conditions, sample_light

_SMALLEST = 16


@dataclass(frozen=True)
class Scene:
    """A street scene.

    image: RGB uint8 [H,W,3]. label_ids: Cityscapes labelIds uint8 [H,W].
    instance_ids: uint16 [H,W], labelId*1000+n for classes with instances and the plain labelId otherwise.
    attributes: "time_of_day" and "weather".
    """

    image: NDArray[np.uint8]
    label_ids: NDArray[np.uint8]
    instance_ids: NDArray[np.uint16]
    attributes: Mapping[str, str]


def render_scene(
    seed: int, height: int, width: int, time_of_day: TimeOfDay | None = None, weather: Weather | None = None
) -> Scene:
    """Render the street scene of a seed at any size of at least 16 x 16.

    The street depends on the seed alone: another size shows the same scene. A given `time_of_day` ("day",
    "dusk", "night") or `weather` ("clear", "cloudy", "fog", "rain", "snow") replaces that of the seed; it
    changes the image and never the labels.
    Raises UserError for a negative seed, a size too small or an unknown condition.
    """
    if seed < 0:
        raise UserError(f"scene seed {seed} is negative; seeds start at 0")
    if height < _SMALLEST or width < _SMALLEST:
        raise UserError(f"scene size {height}x{width} is too small; both sides must be at least {_SMALLEST}")
    if time_of_day is not None and time_of_day not in TIMES:
        raise UserError(f"unknown time of day {time_of_day!r}; it is one of {', '.join(TIMES)}")
    if weather is not None and weather not in WEATHERS:
        raise UserError(f"unknown weather {weather!r}; it is one of {', '.join(WEATHERS)}")
    layout_rng, condition_rng, light_rng, air_rng, camera_rng = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(5)
    )
    sampled_time, sampled_weather = sample_conditions(condition_rng)
    light = sample_light(light_rng, time_of_day or sampled_time, weather or sampled_weather)
    scenery = build_scenery(layout_rng)
    mirrored = bool(layout_rng.random() < 0.3)
    raster = rasterize(scenery, height, width)

    # A quarter of a pixel off the centre: samples are at the middle of each quadrant.
    ids = raster.labelled[1::2, 1::2]
    label_ids = raster.table.label[ids]
    instances = raster.table.instance[ids]
    instance_ids = np.where(instances > 0, instances, label_ids).astype(np.uint16)

    drift = tuple(float(v) for v in light_rng.uniform(0, 1, 2))
    sky = render_sky(light, scenery.camera, height, width, (drift[0], drift[1]))
    shadow = render_shadow(scenery, light, height, width)
    image = shade(scenery, raster, light, sky, shadow, light_rng)
    if light.wet > 0:
        ground = np.isin(label_ids, (LabelId.ROAD, LabelId.SIDEWALK))
        forward = scenery.camera.rotation[:, 2] * 1e4
        horizon = float(scenery.camera.project(forward[None].astype(np.float32), height, width)[0, 1])
        image = reflect(image, ground, horizon, light, air_rng)
    image = precipitation(bloom(image, light), light, air_rng)
    photo = develop(image, light, camera_rng)
    if mirrored:
        photo, label_ids, instance_ids = photo[:, ::-1], label_ids[:, ::-1], instance_ids[:, ::-1]
    return Scene(
        np.ascontiguousarray(photo),
        np.ascontiguousarray(label_ids),
        np.ascontiguousarray(instance_ids),
        {"time_of_day": light.time_of_day, "weather": light.weather},
    )
