"""Effects of the air and the camera: glare, wet reflections, rain, snowfall, exposure, noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.light import Light


def reflect(image: Array, ground: NDArray[np.bool_], horizon: float, light: Light, rng: Generator) -> Array:
    """Reflections on wet ground: `image` with its mirror image added where `ground` is set.

    `horizon` is its row. The mirror image is smeared downwards, as water on asphalt smears it.
    """
    height, width = ground.shape
    rows = np.clip(2 * horizon - np.arange(height), 0, height - 1).astype(np.int32)
    mirror = cv2.blur(image[rows], (max(width // 90, 1), max(height // 6, 1)))
    coarse = rng.uniform(0, 1, (9, 7)).astype(np.float32)
    puddles = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    steep = np.clip((np.arange(height) - horizon) / height, 0.02, 1)[:, None]
    gloss = light.wet * np.clip(0.5 - 0.55 * steep, 0.12, 0.5) * np.clip(0.45 + puddles, 0, 1.2)
    gloss = (gloss * ground)[..., None].astype(np.float32)
    return image * (1 - 0.6 * gloss) + mirror * gloss


def bloom(image: Array, light: Light) -> Array:
    """Glare about bright lights, wider in wet or foggy air."""
    height, width = image.shape[:2]
    level = 1.1 if light.time_of_day == "day" else 3.0 * light.exposure
    bright = np.clip(image - level, 0, 6 * level)
    small = cv2.resize(bright, (max(width // 4, 1), max(height // 4, 1)), interpolation=cv2.INTER_AREA)
    air = 1 + 8 * min(light.fog * 20, 1.0)
    wide = cv2.GaussianBlur(small, (0, 0), max(width / 90 / 4 * (1 + 0.25 * air), 0.5))
    tight = cv2.GaussianBlur(small, (0, 0), max(width / 350 / 4, 0.4))
    halo = cv2.resize(0.35 * tight + 0.12 * air**0.5 * wide, (width, height), interpolation=cv2.INTER_LINEAR)
    return image + halo


def precipitation(image: Array, light: Light, rng: Generator) -> Array:
    """Streaks of rain or flakes of snow in front of the scene."""
    height, width = image.shape[:2]
    falling = light.wet if light.weather == "rain" else light.snow
    if falling == 0:
        return image
    layer = np.zeros((height, width), np.uint8)
    count = int(rng.uniform(250, 700) * falling)
    x, y, size, value = rng.uniform(0, 1, (4, count))
    lean = rng.normal(0, 0.12)
    for i in range(count):
        start = (int(x[i] * width * 16), int(y[i] * height * 16))
        shade = int(60 + 130 * value[i])
        if light.weather == "rain":
            length = (0.02 + 0.06 * size[i]) * height
            end = (int(start[0] + lean * length * 16), int(start[1] + length * 16))
            cv2.line(layer, start, end, shade // 2, 1, cv2.LINE_AA, 4)
        else:
            radius = int((0.0006 + 0.0022 * size[i] ** 3) * width * 16) + 6
            cv2.circle(layer, start, radius, shade + 60, -1, cv2.LINE_AA, 4)
    strength = cv2.GaussianBlur(layer, (0, 0), max(width / 1400, 0.35)).astype(np.float32)[..., None] / 255
    drops = 1.5 * light.haze + 0.02
    return image * (1 - 0.55 * strength) + drops * 0.55 * strength


def develop(image: Array, light: Light, rng: Generator) -> NDArray[np.uint8]:
    """Photograph of linear RGB [H,W,3]: exposure, vignette, film curve, colour cast and sensor noise."""
    height, width = image.shape[:2]
    brightness = image @ np.array([0.3, 0.59, 0.11], np.float32)
    mean = float(np.exp(np.log(brightness + 1e-3 * light.exposure).mean()))
    gain = 0.66 * light.exposure / mean
    gain = gain**0.75 * float(np.exp(rng.normal(0, 0.11)))
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    vignette = 1 - rng.uniform(0.05, 0.28) * (0.7 * x * x + 0.5 * y * y)
    grey = rng.uniform(0.0, 0.22)
    exposed = (image * (1 - grey) + grey * brightness[..., None]) * (gain * vignette)[..., None] * light.cast
    # The filmic curve of Narkowicz (2016), an approximation of the ACES reference rendering.
    toned = exposed * (2.51 * exposed + 0.03) / (exposed * (2.43 * exposed + 0.59) + 0.14)
    grain = rng.uniform(0.002, 0.009) * (1.6 if light.time_of_day == "night" else 1.0)
    value = np.sqrt(np.clip(toned, 0, 1))
    contrast = rng.uniform(-0.15, 0.25)
    value = value + contrast * (value * value * (3 - 2 * value) - value)
    value += grain * rng.standard_normal((height, width, 1), dtype=np.float32)
    value += 0.5 * grain * rng.standard_normal((height, width, 3), dtype=np.float32)
    return np.clip(value * 255 + 0.5, 0, 255).astype(np.uint8)
