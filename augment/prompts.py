"""Captions from attributes, and prompts that ask for a domain."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from augment.errors import UserError
from augment.options import Options

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

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
# What a caption knows nothing of where it is chosen, besides the details.
CAPTIONED = ("medium", "scene")
# What every description says of an image where it is chosen.
SAID = (*CAPTIONED, *DETAILS)
# The place of a template where the description stands.
CAPTION = "caption"
# With these a sentence that was cut would point to what is gone.
JOINING = {"a", "an", "the", "of", "in", "on", "at", "by", "to", "for", "from", "with", "and", "or", "as", "is", "are"}
PUNCTUATION = ",;:.!?"
# More would hardly be heard, and small classes are often a few stray pixels.
CLASSES_NAMED = 4


class PromptOptions(Options):
    """The words of a prompt. A template's {names} are attributes of the source, or those chosen instead."""

    templates: tuple[str, ...] = Field(
        default=("{caption}",), min_length=1, description="one is chosen at random for each sample"
    )
    domains: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default={},
        description="attribute -> values; one is chosen for each sample, in place of the source's own",
    )
    negative: str = Field(default="", description="what guidance leads away from")


@dataclass(frozen=True)
class Description:
    """What an image shows: a sentence, and attributes behind it.

    Attributes:
        words: the sentence, which may be shortened at its end.
        details: attribute -> what is said of it, in this order.
        chosen: names of the details that a new image shall have, so that they must be said.
        least: number of leading words that must be said too.
    """

    words: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    chosen: frozenset[str] = frozenset()
    least: int = 0

    def __str__(self) -> str:
        return ", ".join(filter(None, [self.words, *self.details.values()]))

    def shorter(self, most_words: int) -> Iterator[Description]:
        """Every shorter description, the longest first: without details of the source, then with fewer words.

        There are at most `most_words` of those, and never fewer than must be said.
        """
        details, words = dict(self.details), self.words.split()
        for name in [name for name in reversed(details) if name not in self.chosen]:
            del details[name]
            yield replace(self, details=dict(details))
        for count in range(min(len(words) - 1, most_words), self.least - 1, -1):
            yield replace(self, words=_cut(words, count, self.least), details=details)


@dataclass(frozen=True)
class Prompt:
    """A prompt whose description may be shortened.

    Attributes:
        parts: the text around each place where the description stands; one more than there are places.
        description: what stands there.
    """

    parts: tuple[str, ...]
    description: Description

    def __str__(self) -> str:
        return self.saying(self.description)

    def saying(self, description: Description) -> str:
        """The prompt with this description; what joined an empty one to the text around it is left out."""
        said = str(description)
        text = said.join(self.parts)
        return text if said else text.strip(" ,")

    def shorter(self, most_words: int) -> Iterator[str]:
        """Every shorter form of the prompt, the longest first; see `Description.shorter`."""
        return map(self.saying, self.description.shorter(most_words))


def _cut(words: Sequence[str], count: int, least: int) -> str:
    """The first `count` words, without one at the end that joins them to the next, but never fewer than `least`."""
    while count > least and words[count - 1].rstrip(PUNCTUATION).lower() in JOINING:
        count -= 1
    return " ".join(words[:count]).rstrip(PUNCTUATION)


def caption(attributes: Mapping[str, str]) -> str:
    """Say what the attributes `medium`, `scene`, `time_of_day` and `weather` hold, as far as they are known.

    Without a scene it is a street. Examples: `{"medium": "rendered", "weather": "rain"}` gives
    `a rendered street, rain`, and `{"scene": "airport terminal"}` gives `a photo of an airport terminal`.
    """
    return str(of_attributes(attributes))


def of_attributes(attributes: Mapping[str, str], chosen: Collection[str] = ()) -> Description:
    """The description of `caption`; those of the attributes that are `chosen` must be said."""
    medium = attributes.get("medium", "photo")
    if scene := attributes.get("scene"):
        subject = f"{noun(medium)} of {'an' if scene[0] in 'aeiou' else 'a'} {scene}"
    else:
        subject = SUBJECTS.get(medium, f"{noun(medium)} of a street")
    least = len(subject.split()) if {"medium", "scene"} & set(chosen) else 0
    return Description(subject, details(attributes), frozenset(chosen), least)


def noun(medium: str) -> str:
    """What an image of a medium is called, such as `a synthetic image`."""
    return f"a {NOUNS.get(medium, medium)}"


def describe(
    attributes: Mapping[str, str],
    drawn: Mapping[str, str],
    captions: Sequence[str],
    classes: Sequence[str],
    generator: np.random.Generator,
) -> Description:
    """Say what an image shows, by the best that is known of it.

    That is one of its captions; else its attributes, where they tell more than that it is a photo or synthetic; else
    its classes, as in `a photo with road, building, car`; else that it is one.

    Args:
        attributes: what is known of the image; see `caption`.
        drawn: attributes that it shall have instead, which must be said. Captions and classes know nothing of them:
            they are added, but for a scene, which stands in place of the classes.
        captions: sentences written of the image; one is sampled.
        classes: names of the classes in it, the largest first.
        generator: samples the caption; it is not used where there are none.
    """
    changed = {"medium": "photo", **attributes, **drawn}
    chosen = frozenset(name for name, value in drawn.items() if value)
    if captions:
        words = captions[int(generator.integers(len(captions)))]
        added = {name: drawn[name] for name in CAPTIONED if drawn.get(name)}
        return Description(words, {**added, **details(drawn)}, chosen)
    told = drawn.get("scene") or any(attributes.get(name) for name in TELLING)
    if told or changed["medium"] not in UNTOLD:
        return of_attributes(changed, chosen)
    subject = noun(changed["medium"])
    with_classes = f"{subject} with {', '.join(classes[:CLASSES_NAMED])}" if classes else subject
    return Description(with_classes, details(drawn), chosen, len(subject.split()) if "medium" in chosen else 0)


def details(attributes: Mapping[str, str]) -> dict[str, str]:
    """Those of `DETAILS` that are known."""
    return {name: attributes[name] for name in DETAILS if attributes.get(name)}


def draw_domain(domains: Mapping[str, Sequence[str]], generator: np.random.Generator) -> dict[str, str]:
    """One value for every attribute in `domains`: what a new image has instead of its source's own."""
    return {name: values[int(generator.integers(len(values)))] for name, values in sorted(domains.items())}


def places(template: str) -> set[str]:
    """The names in the `{name}` places of a prompt template."""
    return set(re.findall(r"{(.*?)}", template))


def expand(template: str, attributes: Mapping[str, str], description: Description) -> Prompt:
    """Fill the `{name}` places of a prompt template; `{caption}` is the description.

    Raises:
        UserError: the template names an attribute that is not there.
    """
    for name in re.findall(r"{(.*?)}", template):
        if name not in attributes and name != CAPTION:
            known = ", ".join(f"{{{known}}}" for known in sorted({*attributes, CAPTION}))
            raise UserError(f"prompt {template!r}: nothing is known of {{{name}}}: use one of {known}")
    parts = (re.sub(r"{(.*?)}", lambda place: attributes[place[1]], part) for part in template.split(f"{{{CAPTION}}}"))
    return Prompt(tuple(parts), description)
