"""Time of day and weather: the light on the street, and fog, rain and snow in the air."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.random import Generator

from pipeline.scenes.world.arrays import Array

TimeOfDay = Literal["day", "dusk", "night"]
Weather = Literal["clear", "cloudy", "fog", "rain", "snow"]

TIMES: tuple[TimeOfDay, ...] = ("day", "dusk", "night")
WEATHERS: tuple[Weather, ...] = ("clear", "cloudy", "fog", "rain", "snow")
_TIME_WEIGHTS = (0.64, 0.18, 0.18)
_WEATHER_WEIGHTS = (0.36, 0.28, 0.1, 0.15, 0.11)


@dataclass(frozen=True)
class Light:
    """Linear light and air. Colours are linear RGB.

    sun: direction towards the sun. sunlight, skylight, bounce: light on a white face turned to the sun, up,
    down. zenith, horizon: the sky. cloud, clouds: their colour and cover, 0..1. fog: extinction a metre.
    haze: colour at a distance. dark: how much the lamps are on, 0..1. wet, snow: 0..1.
    exposure: mean brightness aimed at. cast: the camera's colour cast.
    """

    time_of_day: TimeOfDay
    weather: Weather
    sun: Array
    sunlight: Array
    skylight: Array
    bounce: Array
    zenith: Array
    horizon: Array
    cloud: Array
    clouds: float
    fog: float
    haze: Array
    dark: float
    wet: float
    snow: float
    exposure: float
    cast: Array


def _rgb(*values: float) -> Array:
    return np.array(values, np.float32)


def sample_conditions(rng: Generator) -> tuple[TimeOfDay, Weather]:
    """A random time of day and weather."""
    time = TIMES[int(rng.choice(3, p=_TIME_WEIGHTS))]
    return time, WEATHERS[int(rng.choice(5, p=_WEATHER_WEIGHTS))]


def sample_light(rng: Generator, time_of_day: TimeOfDay, weather: Weather) -> Light:
    """Light for the given conditions, with a random sun, cloud cover and tint."""
    azimuth = float(rng.uniform(-np.pi, np.pi))
    lift, cover, density, tint, warmth = (float(v) for v in rng.uniform(0, 1, 5))
    elevation = {"day": 0.35 + 0.75 * lift, "dusk": 0.06 + 0.14 * lift, "night": 0.8}[time_of_day]
    sun = _rgb(np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth))
    if time_of_day == "day":
        warm = _rgb(1.0, 0.93 - 0.1 * (1 - lift), 0.8 - 0.2 * (1 - lift))
        light = Light(
            time_of_day,
            weather,
            sun,
            2.3 * warm,
            _rgb(0.68, 0.76, 0.92),
            _rgb(0.34, 0.32, 0.29),
            _rgb(0.16, 0.34, 0.78) * (0.7 + 0.5 * tint),
            _rgb(0.72, 0.84, 0.98),
            _rgb(1.25, 1.25, 1.25),
            0.45 * cover,
            0.0011 + 0.002 * density,
            _rgb(0.7, 0.8, 0.95),
            0.0,
            0.0,
            0.0,
            0.215 + 0.05 * tint,
            _rgb(1, 1, 1),
        )
    elif time_of_day == "dusk":
        glow = _rgb(1.0, 0.5 + 0.2 * warmth, 0.25 + 0.3 * warmth)
        light = Light(
            time_of_day,
            weather,
            sun,
            0.75 * glow,
            _rgb(0.36, 0.36, 0.5),
            _rgb(0.17, 0.14, 0.13),
            _rgb(0.09, 0.13, 0.32),
            0.85 * glow,
            _rgb(0.5, 0.36, 0.36),
            0.2 + 0.6 * cover,
            0.0015 + 0.003 * density,
            _rgb(0.5, 0.4, 0.42),
            0.75,
            0.0,
            0.0,
            0.13 + 0.03 * tint,
            _rgb(1, 1, 1),
        )
    else:
        town = _rgb(1.0, 0.72 + 0.2 * warmth, 0.5 + 0.4 * warmth)
        light = Light(
            time_of_day,
            weather,
            sun,
            0.01 * _rgb(0.6, 0.7, 1.0),
            0.034 * town,
            0.02 * town,
            _rgb(0.004, 0.007, 0.017),
            0.028 * town,
            0.02 * town,
            cover,
            0.002 + 0.003 * density,
            0.024 * town,
            1.0,
            0.0,
            0.0,
            0.062 + 0.025 * tint,
            _rgb(1, 1, 1),
        )
    return _with_weather(light, cover, density, warmth)


def _with_weather(light: Light, cover: float, density: float, warmth: float) -> Light:
    cast = _rgb(1 + 0.09 * (warmth - 0.5), 1, 1 - 0.13 * (warmth - 0.5))
    light = replace(light, cast=cast)
    if light.weather == "clear":
        return light
    grey = light.skylight.mean() * _rgb(0.95, 1.0, 1.07)
    veiled = 0.55 * light.sunlight.mean() * light.sun[1] + light.skylight.mean()
    sun_left = {"cloudy": 0.22 * (1 - cover), "fog": 0.0, "rain": 0.0, "snow": 0.03}[light.weather]
    sky = light.horizon.mean() * _rgb(0.92, 0.97, 1.04)
    overcast = replace(
        light,
        sunlight=light.sunlight * sun_left,
        skylight=veiled * grey / grey.mean(),
        bounce=light.bounce * 0.9,
        zenith=0.55 * light.zenith + 0.45 * sky * 0.8,
        horizon=0.25 * light.horizon + 0.75 * sky,
        cloud=sky * 1.02,
        clouds=0.6 + 0.4 * cover,
        haze=0.25 * light.haze + 0.75 * sky,
    )
    if light.weather == "fog":
        air = 0.95 * sky
        return replace(
            overcast,
            fog=0.014 + 0.034 * density,
            haze=air,
            horizon=air,
            zenith=air * 0.93,
            clouds=0.0,
            dark=max(light.dark, 0.25),
        )
    if light.weather == "rain":
        return replace(
            overcast,
            fog=0.004 + 0.007 * density,
            wet=0.6 + 0.4 * cover,
            zenith=0.6 * sky,
            horizon=0.85 * sky,
            cloud=0.75 * sky,
            dark=max(light.dark, 0.3),
            exposure=light.exposure * 0.86,
        )
    if light.weather == "snow":
        return replace(
            overcast,
            fog=0.005 + 0.01 * density,
            snow=0.5 + 0.5 * cover,
            horizon=0.95 * sky,
            zenith=0.85 * sky,
            bounce=light.bounce * 1.6,
            clouds=0.5,
            exposure=light.exposure * 1.12,
        )
    return overcast
