"""Captions from attributes, and prompts that ask for a domain."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from augment.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

SUBJECTS = {"photo": "a photo of a street", "rendered": "a rendered street"}
TIMES_OF_DAY = ("day", "dusk", "night")
WEATHERS = ("clear", "cloudy", "fog", "rain", "snow")
DETAILS = ("time_of_day", "weather")


def caption(attributes: Mapping[str, str]) -> str:
    """Say what the attributes `medium`, `time_of_day` and `weather` of a street image hold, as far as they are known.

    Example: `{"medium": "rendered", "weather": "rain"}` gives `a rendered street, rain`.
    """
    medium = attributes.get("medium", "photo")
    parts = [SUBJECTS.get(medium, f"a {medium} of a street")]
    parts += [attributes[name] for name in DETAILS if attributes.get(name)]
    return ", ".join(parts)


def draw_domain(
    domains: Mapping[str, Sequence[str]], attributes: Mapping[str, str], generator: np.random.Generator
) -> dict[str, str]:
    """Attributes of a new image: those of its source, with one value drawn for every attribute in `domains`."""
    drawn = {name: values[int(generator.integers(len(values)))] for name, values in sorted(domains.items())}
    return {**attributes, **drawn}


def expand(template: str, attributes: Mapping[str, str]) -> str:
    """Fill the `{name}` places of a prompt template; `{caption}` is the caption of the attributes.

    Raises:
        UserError: the template names an attribute that is not there.
    """
    values = {**attributes, "caption": caption(attributes)}
    for name in re.findall(r"{(.*?)}", template):
        if name not in values:
            known = ", ".join(f"{{{known}}}" for known in sorted(values))
            raise UserError(f"prompt {template!r}: nothing is known of {{{name}}}: use one of {known}")
    return re.sub(r"{(.*?)}", lambda place: values[place[1]], template)
