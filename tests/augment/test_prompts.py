"""Captions and prompts say what is requested."""

from __future__ import annotations

import numpy as np
import pytest

from augment.errors import UserError
from augment.prompts import Description, Prompt, caption, choose_domain, describe, expand


def test_caption_names_what_is_known_and_nothing_else() -> None:
    assert caption({"medium": "rendered", "time_of_day": "dusk", "weather": "rain", "city": "aachen"}) == (
        "a rendered street, dusk, rain"
    )
    assert caption({"medium": "photo"}) == "a photo of a street"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"medium": "photo", "scene": "airport terminal"}, "a photo of an airport terminal"),
        ({"medium": "synthetic", "scene": "highway"}, "a synthetic image of a highway"),
        ({"medium": "rendered", "scene": "tunnel", "weather": "fog"}, "a rendered image of a tunnel, fog"),
        ({"medium": "synthetic", "weather": "fog"}, "a synthetic image of a street, fog"),
        ({"scene": "highway", "weather": "snow", "time_of_day": "night"}, "a photo of a highway, night, snow"),
    ],
)
def test_caption_names_the_scene(attributes: dict[str, str], expected: str) -> None:
    assert caption(attributes) == expected


CLASSES = ("road", "building", "car", "sky", "person")


@pytest.mark.parametrize(
    ("attributes", "chosen", "captions", "classes", "expected"),
    [
        ({"medium": "photo", "weather": "rain"}, {"weather": "snow"}, ["a cat"], CLASSES, "a cat, snow"),
        ({"medium": "photo", "weather": "rain"}, {"weather": "snow"}, [], CLASSES, "a photo of a street, snow"),
        ({"medium": "photo", "city": "ulm"}, {}, [], CLASSES, "a photo of a street"),
        ({"medium": "rendered"}, {}, [], CLASSES, "a rendered street"),
        ({"medium": "photo"}, {"weather": "fog"}, [], CLASSES, "a photo with road, building, car, sky, fog"),
        ({"medium": "photo"}, {"season": "winter"}, [], ["bed"], "a photo with bed"),
        ({"medium": "photo"}, {"scene": "tunnel", "weather": "rain"}, [], CLASSES, "a photo of a tunnel, rain"),
        ({"medium": "photo"}, {"medium": "painting"}, ["a cat"], CLASSES, "a cat, painting"),
        ({"medium": "photo"}, {"scene": "tunnel", "weather": "rain"}, ["a cat"], [], "a cat, tunnel, rain"),
        ({"medium": "photo"}, {}, [], [], "a photo"),
        ({"medium": "synthetic"}, {}, [], ["bed", "lamp"], "a synthetic image with bed, lamp"),
        ({"medium": "synthetic"}, {"medium": "photo", "weather": "fog"}, [], ["bed"], "a photo with bed, fog"),
    ],
)
def test_image_is_described_by_the_best_that_is_known_of_it(
    attributes: dict[str, str], chosen: dict[str, str], captions: list[str], classes: list[str], expected: str
) -> None:
    assert str(describe(attributes, chosen, captions, classes, np.random.default_rng(0))) == expected


def test_every_caption_is_sampled_and_without_captions_nothing() -> None:
    generator, untouched = np.random.default_rng(0), np.random.default_rng(0)
    describe({"weather": "rain"}, {}, [], CLASSES, generator)
    assert generator.bit_generator.state == untouched.bit_generator.state
    assert {str(describe({}, {}, ["one", "two", "three"], [], generator)) for _ in range(40)} == {"one", "two", "three"}


def test_every_value_of_a_domain_is_chosen() -> None:
    values = ("day", "dusk", "night")
    generator = np.random.default_rng(0)
    chosen = {choose_domain({"time_of_day": values}, generator)["time_of_day"] for _ in range(50)}
    assert chosen == set(values)


def test_template_that_names_what_is_not_known_is_refused() -> None:
    assert str(expand("{caption} in {city}", {"city": "ulm"}, Description("a {bus}"))) == "a {bus} in ulm"
    with pytest.raises(UserError, match=r"\{season\}.*use one of \{caption\}, \{medium\}"):
        expand("a street in {season}", {"medium": "photo"}, Description("a street"))


LONG = ["a group of people, standing at a crossing"]


@pytest.mark.parametrize(
    ("attributes", "chosen", "captions", "forms"),
    [
        (
            {"weather": "clear"},
            {"time_of_day": "night"},
            LONG,
            ["a group of people, standing, night", "a group of people, night", "a group, night", "night"],
        ),
        (
            {"medium": "rendered", "weather": "clear"},
            {"time_of_day": "night"},
            [],
            ["a rendered street, night", "a rendered, night", "night"],
        ),
        ({}, {"scene": "wine cellar"}, [], []),
        ({"weather": "fog"}, {"scene": "barn"}, [], ["a photo of a barn"]),
        ({"medium": "photo"}, {"medium": "painting"}, [], []),
    ],
)
def test_what_is_chosen_is_in_every_shorter_form_of_a_prompt_and_no_word_is_cut(
    attributes: dict[str, str], chosen: dict[str, str], captions: list[str], forms: list[str]
) -> None:
    description = describe(attributes, chosen, captions, CLASSES, np.random.default_rng(0))
    prompt = expand("{caption}", {}, description)
    shorter = list(prompt.shorter(100))
    assert list(dict.fromkeys(shorter)) == forms
    assert all(value in form for value in chosen.values() for form in shorter)
    assert sorted(shorter, key=len, reverse=True) == shorter


def test_text_of_the_template_stays_and_a_description_that_is_left_out_leaves_no_comma() -> None:
    prompt = Prompt(("", ", in ulm"), Description("a long walk"))
    assert list(prompt.shorter(100)) == ["a long, in ulm", "in ulm", "in ulm"]
    assert list(prompt.shorter(1)) == ["in ulm", "in ulm"]
