"""The preset `strong` of `downstream.augmentation`: what a careful engineer would try before synthetic data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Light, colour, camera, weather and geometry; about half of the images get each group. The strengths leave the objects
# of a street recognisable. A change of this list changes the results of every arm with [augmented].
STRONG: tuple[Mapping[str, Any], ...] = (
    {
        "type": "OneOf",
        "transforms": [
            {
                "type": "RandomBrightnessContrast",
                "brightness_limit": [-0.3, 0.3],
                "contrast_limit": [-0.3, 0.3],
                "p": 1,
            },
            {"type": "RandomGamma", "gamma_limit": [60, 180], "p": 1},
            {"type": "CLAHE", "clip_limit": [1, 4], "p": 1},
        ],
        "p": 0.6,
    },
    {
        "type": "OneOf",
        "transforms": [
            {
                "type": "HueSaturationValue",
                "hue_shift_limit": [-12, 12],
                "sat_shift_limit": [-50, 40],
                "val_shift_limit": [-20, 20],
                "p": 1,
            },
            {"type": "PlanckianJitter", "p": 1},
            {"type": "ToGray", "p": 1},
        ],
        "p": 0.5,
    },
    {
        "type": "OneOf",
        "transforms": [
            {"type": "GaussianBlur", "blur_limit": 0, "sigma_limit": [0.3, 1.5], "p": 1},
            {"type": "MotionBlur", "blur_limit": [3, 5], "p": 1},
            {"type": "GaussNoise", "std_range": [0.02, 0.08], "p": 1},
            {"type": "ImageCompression", "quality_range": [40, 90], "p": 1},
        ],
        "p": 0.4,
    },
    {
        "type": "OneOf",
        "transforms": [
            {"type": "RandomFog", "fog_coef_range": [0.1, 0.5], "p": 1},
            {"type": "RandomRain", "p": 1},
            {"type": "RandomShadow", "shadow_roi": [0, 0, 1, 1], "num_shadows_limit": [1, 3], "p": 1},
        ],
        "p": 0.3,
    },
    {
        "type": "OneOf",
        "transforms": [
            {
                "type": "Affine",
                "scale": [0.85, 1.15],
                "translate_percent": [-0.06, 0.06],
                "rotate": [-8, 8],
                "shear": [-5, 5],
                "p": 1,
            },
            {"type": "Perspective", "scale": [0.02, 0.07], "p": 1},
            {"type": "GridDistortion", "num_steps": 5, "distort_limit": [-0.15, 0.15], "p": 1},
        ],
        "p": 0.5,
    },
)
