"""Captions and prompts say what is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from augment.errors import UserError
from augment.prompts import caption, draw_domain, expand


def test_caption_names_what_is_known_and_nothing_else() -> None:
    assert caption({"medium": "rendered", "time_of_day": "dusk", "weather": "rain", "city": "aachen"}) == (
        "a rendered street, dusk, rain"
    )
    assert caption({"medium": "photo"}) == "a photo of a street"


def test_drawn_attributes_replace_the_sources_own_and_keep_the_rest() -> None:
    drawn = draw_domain({"weather": ("snow",)}, {"medium": "photo", "weather": "rain"}, np.random.default_rng(0))
    assert drawn == {"medium": "photo", "weather": "snow"}


def test_every_value_of_a_domain_is_drawn() -> None:
    values = ("day", "dusk", "night")
    generator = np.random.default_rng(0)
    drawn = {draw_domain({"time_of_day": values}, {}, generator)["time_of_day"] for _ in range(50)}
    assert drawn == set(values)


def test_template_that_names_what_is_not_known_is_refused() -> None:
    assert expand("{caption}, film grain", {"medium": "photo"}) == "a photo of a street, film grain"
    with pytest.raises(UserError, match=r"\{season\}.*use one of \{caption\}, \{medium\}"):
        expand("a street in {season}", {"medium": "photo"})
