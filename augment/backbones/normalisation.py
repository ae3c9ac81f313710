"""How images are normalised for a model, read from the configuration of its image processor."""

from __future__ import annotations

import json
from typing import Any

from augment.backbones.families import Family, Statistics
from augment.errors import UserError
from augment.loading import model_file


def normalisation_of(family: Family, source: str) -> Statistics:
    """Mean and standard deviation that a model of this family takes images with, for values in 0..1.

    Those of preprocessor_config.json (processor_config.json in newer models), where the folder or hub id has one;
    else, and for a model on the hub where neither the cache nor the network gives the file, those of the family.

    Raises:
        UserError: the file is damaged.
    """
    if family.own_normalisation:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    content = _processor(source)
    if content is None:
        return family.normalisation
    if not content.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, std = content.get("image_mean"), content.get("image_std")
    if mean is None or std is None:
        return family.normalisation
    try:
        first, second, third = (float(value) for value in mean)
        scales = tuple(float(value) for value in std)
        if len(scales) != 3 or min(scales) <= 0:
            raise ValueError
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{source}: the configuration of its image processor has image_mean {mean} and image_std {std}, where "
            "three numbers each are expected: download it again"
        ) from error
    return (first, second, third), (scales[0], scales[1], scales[2])


def _processor(source: str) -> dict[str, Any] | None:
    for file in ("preprocessor_config.json", "processor_config.json"):
        try:
            path = model_file(source, file)
        except OSError:
            # The weights are in the cache, and this file is not.
            return None
        if path is None:
            continue
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{source}: {file} is no valid JSON ({error}): download it again") from error
        if isinstance(content, dict):
            return content.get("image_processor", content)
    return None
