"""Captions from attributes, and prompts that ask for a domain."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from augment.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

SUBJECTS = {"photo": "a photo of a street", "rendered": "a rendered street"}
# What an image of a medium is called, where that is not the medium itself.
NOUNS = {"rendered": "rendered image", "synthetic": "synthetic image"}
TIMES_OF_DAY = ("day", "dusk", "night")
WEATHERS = ("clear", "cloudy", "fog", "rain", "snow")
DETAILS = ("time_of_day", "weather")
# Media of images that may show anything; those of all others are of streets.
UNTOLD = ("photo", "synthetic")
# Sets that say any of these of an image are of streets, or say what else it shows.
TELLING = ("scene", "city", *DETAILS)
# What a caption knows nothing of where it is drawn, besides the details.
CAPTIONED = ("medium", "scene")
# More would hardly be heard, and small classes are often a few stray pixels.
CLASSES_NAMED = 4


def caption(attributes: Mapping[str, str]) -> str:
    """Say what the attributes `medium`, `scene`, `time_of_day` and `weather` hold, as far as they are known.

    Without a scene it is a street. Examples: `{"medium": "rendered", "weather": "rain"}` gives
    `a rendered street, rain`, and `{"scene": "airport terminal"}` gives `a photo of an airport terminal`.
    """
    medium = attributes.get("medium", "photo")
    if scene := attributes.get("scene"):
        subject = f"{noun(medium)} of {'an' if scene[0] in 'aeiou' else 'a'} {scene}"
    else:
        subject = SUBJECTS.get(medium, f"{noun(medium)} of a street")
    return ", ".join([subject, *details(attributes)])


def noun(medium: str) -> str:
    """What an image of a medium is called, such as `a synthetic image`."""
    return f"a {NOUNS.get(medium, medium)}"


def describe(
    attributes: Mapping[str, str],
    drawn: Mapping[str, str],
    captions: Sequence[str],
    classes: Sequence[str],
    generator: np.random.Generator,
) -> str:
    """Say what an image shows, by the best that is known of it.

    That is one of its captions; else its attributes, where they tell more than that it is a photo or synthetic; else
    its classes, as in `a photo with road, building, car`; else that it is one.

    Args:
        attributes: what is known of the image; see `caption`.
        drawn: attributes that it shall have instead. Captions and classes know nothing of them: they are added, but
            for a scene, which stands in place of the classes.
        captions: sentences written of the image; one is drawn.
        classes: names of the classes in it, the largest first.
        generator: draws the caption; nothing is drawn where there are none.
    """
    changed = {"medium": "photo", **attributes, **drawn}
    if captions:
        words = captions[int(generator.integers(len(captions)))]
        return ", ".join([words, *(drawn[name] for name in CAPTIONED if drawn.get(name)), *details(drawn)])
    told = drawn.get("scene") or any(attributes.get(name) for name in TELLING)
    if told or changed["medium"] not in UNTOLD:
        return caption(changed)
    subject = noun(changed["medium"])
    with_classes = f"{subject} with {', '.join(classes[:CLASSES_NAMED])}" if classes else subject
    return ", ".join([with_classes, *details(drawn)])


def details(attributes: Mapping[str, str]) -> list[str]:
    """The values of those of `DETAILS` that are known."""
    return [attributes[name] for name in DETAILS if attributes.get(name)]


def draw_domain(domains: Mapping[str, Sequence[str]], generator: np.random.Generator) -> dict[str, str]:
    """One value for every attribute in `domains`: what a new image has instead of its source's own."""
    return {name: values[int(generator.integers(len(values)))] for name, values in sorted(domains.items())}


def expand(template: str, attributes: Mapping[str, str], words: str) -> str:
    """Fill the `{name}` places of a prompt template; `{caption}` is `words`.

    Raises:
        UserError: the template names an attribute that is not there.
    """
    values = {**attributes, "caption": words}
    for name in re.findall(r"{(.*?)}", template):
        if name not in values:
            known = ", ".join(f"{{{known}}}" for known in sorted(values))
            raise UserError(f"prompt {template!r}: nothing is known of {{{name}}}: use one of {known}")
    return re.sub(r"{(.*?)}", lambda place: values[place[1]], template)
