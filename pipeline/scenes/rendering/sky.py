"""The sky: gradient, sun, clouds in perspective, moonless night."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from pipeline.scenes.world.arrays import Array
from pipeline.scenes.world.camera import Camera
from pipeline.scenes.world.light import Light
from pipeline.scenes.world.materials import noise

_SIZE = 512
_FINE = 128


@lru_cache(maxsize=1)
def _cloud_field() -> Array:
    rng = np.random.default_rng(77)
    return noise(rng, _SIZE, ((4, 0.5), (8, 0.32), (16, 0.2), (32, 0.12), (64, 0.07), (128, 0.04)))


def render_sky(light: Light, camera: Camera, height: int, width: int, drift: tuple[float, float]) -> Array:
    """Linear RGB of the sky [height,width,3]; `drift` moves the clouds, in fractions of their pattern."""
    full = (width, height)
    if height > _FINE:
        # Clouds are soft: half the rows and columns show the same sky.
        height, width = height // 2, width // 2
    x, y = camera.rays(height, width)
    rays = np.stack(np.broadcast_arrays(x[None, :], y[:, None], np.float32(1)), axis=-1)
    rays = rays @ camera.rotation
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    up = np.clip(rays[..., 1], 0, 1)
    blend = (1 - np.exp(-4.2 * up))[..., None]
    sky = light.horizon * (1 - blend) + light.zenith * blend
    toward = np.clip(rays @ light.sun, 0, 1)[..., None]
    if light.time_of_day != "night":
        sky = sky + light.sunlight * (0.22 * toward**6 + 0.5 * toward**60 + 4.0 * toward**1500)
    if light.clouds > 0:
        flat = 1.3 / (up + 0.13)
        map_x = np.mod(rays[..., 0] * flat * 90 + drift[0] * _SIZE, _SIZE - 1).astype(np.float32)
        map_y = np.mod(rays[..., 2] * flat * 90 + drift[1] * _SIZE, _SIZE - 1).astype(np.float32)
        field = cv2.remap(_cloud_field(), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        cover = np.clip((field + 1.5 * light.clouds - 0.62) * 2.2, 0, 1)[..., None]
        cover *= np.clip(up * 9, 0.35, 1)[..., None]
        shade = (1.08 - 0.42 * np.clip(field + light.clouds - 0.55, 0, 1))[..., None]
        sky = sky * (1 - cover) + light.cloud * shade * (1 + 0.35 * toward**4) * cover
    return cv2.resize(sky.astype(np.float32), full, interpolation=cv2.INTER_LINEAR)
