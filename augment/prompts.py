"""Captions from attributes, and prompts for a domain."""

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
# The noun for an image of a medium, where it is not the medium itself.
NOUNS = {"rendered": "rendered image", "synthetic": "synthetic image"}
TIMES_OF_DAY = ("day", "dusk", "night")
WEATHERS = ("clear", "cloudy", "fog", "rain", "snow")
DETAILS = ("time_of_day", "weather")
# Media of images that may show anything; images of all other media show streets.
ANY_CONTENT = ("photo", "synthetic")
# A dataset with any of these attributes shows streets, or the attribute names what else it shows.
INFORMATIVE = ("scene", "city", *DETAILS)
# Attributes that are added to a caption if they are chosen, before the details.
ADDED_TO_CAPTION = ("medium", "scene")
# Attributes that every description mentions if they are chosen.
SAID = (*ADDED_TO_CAPTION, *DETAILS)
# The place of the description in a template.
CAPTION = "caption"
# A shortened sentence must not end in one of these.
JOINING = {"a", "an", "the", "of", "in", "on", "at", "by", "to", "for", "from", "with", "and", "or", "as", "is", "are"}
PUNCTUATION = ",;:.!?"
# A text encoder hardly heeds more, and small classes are often a few stray pixels.
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
    """Content of an image: a sentence, and attributes behind it.

    Attributes:
        words: the sentence, which may be shortened at its end.
        details: attribute -> its words, in this order.
        chosen: names of the details that are chosen for the new image; they are always kept.
        least: number of leading words to keep.
    """

    words: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    chosen: frozenset[str] = frozenset()
    least: int = 0

    def __str__(self) -> str:
        return ", ".join(filter(None, [self.words, *self.details.values()]))

    def shorter(self, most_words: int) -> Iterator[Description]:
        """Every shorter description, the longest first: without details of the source, then with fewer words.

        Shortened sentences have at most `most_words` words, and at least `least`.
        """
        details, words = dict(self.details), self.words.split()
        for name in [name for name in reversed(details) if name not in self.chosen]:
            del details[name]
            yield replace(self, details=dict(details))
        for count in range(min(len(words) - 1, most_words), self.least - 1, -1):
            yield replace(self, words=_cut(words, count, self.least), details=details)


@dataclass(frozen=True)
class Prompt:
    """A prompt with a description that may be shortened.

    Attributes:
        parts: the text before, between and after the places of the description.
        description: inserted in each of these places.
    """

    parts: tuple[str, ...]
    description: Description

    def __str__(self) -> str:
        return self.saying(self.description)

    def saying(self, description: Description) -> str:
        """The prompt with this description; without one, commas and spaces at the ends are dropped too."""
        said = str(description)
        text = said.join(self.parts)
        return text if said else text.strip(" ,")

    def shorter(self, most_words: int) -> Iterator[str]:
        """Every shorter form of the prompt, the longest first; see `Description.shorter`."""
        return map(self.saying, self.description.shorter(most_words))


def _cut(words: Sequence[str], count: int, least: int) -> str:
    """The first `count` words, without a joining word at the end, but never fewer than `least`."""
    while count > least and words[count - 1].rstrip(PUNCTUATION).lower() in JOINING:
        count -= 1
    return " ".join(words[:count]).rstrip(PUNCTUATION)


def caption(attributes: Mapping[str, str]) -> str:
    """Write a caption from the attributes `medium`, `scene`, `time_of_day` and `weather`, as far as they are known.

    The default scene is a street. Examples: `{"medium": "rendered", "weather": "rain"}` gives
    `a rendered street, rain`, and `{"scene": "airport terminal"}` gives `a photo of an airport terminal`.
    """
    return str(of_attributes(attributes))


def of_attributes(attributes: Mapping[str, str], chosen: Collection[str] = ()) -> Description:
    """The description behind `caption`; attributes that are `chosen` are always kept."""
    medium = attributes.get("medium", "photo")
    if scene := attributes.get("scene"):
        subject = f"{noun(medium)} of {'an' if scene[0] in 'aeiou' else 'a'} {scene}"
    else:
        subject = SUBJECTS.get(medium, f"{noun(medium)} of a street")
    least = len(subject.split()) if {"medium", "scene"} & set(chosen) else 0
    return Description(subject, details(attributes), frozenset(chosen), least)


def noun(medium: str) -> str:
    """The noun for an image of a medium, such as `a synthetic image`."""
    return f"a {NOUNS.get(medium, medium)}"


def describe(
    attributes: Mapping[str, str],
    chosen: Mapping[str, str],
    captions: Sequence[str],
    classes: Sequence[str],
    generator: np.random.Generator,
) -> Description:
    """Describe an image by the best source available.

    These are, in this order: one of its captions; its attributes, if they say more than that it is a photo or
    synthetic; its classes, as in `a photo with road, building, car`; its medium alone.

    Args:
        attributes: attributes of the image; see `caption`.
        chosen: attributes that replace its own and are always kept. They are added to a caption or the classes, but a
            scene replaces the classes.
        captions: captions of the image; one is sampled.
        classes: names of the classes in it, the largest first.
        generator: samples the caption; unused without captions.
    """
    changed = {"medium": "photo", **attributes, **chosen}
    kept = frozenset(name for name, value in chosen.items() if value)
    if captions:
        words = captions[int(generator.integers(len(captions)))]
        added = {name: chosen[name] for name in ADDED_TO_CAPTION if chosen.get(name)}
        return Description(words, {**added, **details(chosen)}, kept)
    informative = chosen.get("scene") or any(attributes.get(name) for name in INFORMATIVE)
    if informative or changed["medium"] not in ANY_CONTENT:
        return of_attributes(changed, kept)
    subject = noun(changed["medium"])
    with_classes = f"{subject} with {', '.join(classes[:CLASSES_NAMED])}" if classes else subject
    return Description(with_classes, details(chosen), kept, len(subject.split()) if "medium" in kept else 0)


def details(attributes: Mapping[str, str]) -> dict[str, str]:
    """Those of `DETAILS` that are known."""
    return {name: attributes[name] for name in DETAILS if attributes.get(name)}


def choose_domain(domains: Mapping[str, Sequence[str]], generator: np.random.Generator) -> dict[str, str]:
    """Choose a value for every attribute in `domains`, to replace those of the source."""
    return {name: values[int(generator.integers(len(values)))] for name, values in sorted(domains.items())}


def places(template: str) -> set[str]:
    """The names in the `{name}` places of a prompt template."""
    return set(re.findall(r"{(.*?)}", template))


def expand(template: str, attributes: Mapping[str, str], description: Description) -> Prompt:
    """Fill the `{name}` places of a prompt template; `{caption}` is the description.

    Raises:
        UserError: the template names an unknown attribute.
    """
    for name in re.findall(r"{(.*?)}", template):
        if name not in attributes and name != CAPTION:
            known = ", ".join(f"{{{known}}}" for known in sorted({*attributes, CAPTION}))
            raise UserError(f"prompt {template!r}: nothing is known of {{{name}}}: use one of {known}")
    parts = (re.sub(r"{(.*?)}", lambda place: attributes[place[1]], part) for part in template.split(f"{{{CAPTION}}}"))
    return Prompt(tuple(parts), description)
