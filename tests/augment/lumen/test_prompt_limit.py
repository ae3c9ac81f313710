"""Nothing of a prompt is cut off in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import UserError
from augment.lumen.bases.base import DiffusionModel
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.prompt_limit import PromptLimit, PromptTooLong, load_prompt_limit
from augment.prompts import Prompt, describe, expand
from tests.pipeline.small_models import save_small_base

LIMIT = load_prompt_limit("lumen-tiny")
WORDS = st.lists(st.sampled_from(["a", "photo", "of", "street,", "people", "standing", "é", "車", "-"]), max_size=30)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    folder: Path = save_small_base(tmp_path_factory.mktemp("base"))
    return load_diffusion_model(str(folder))


@given(WORDS, st.sampled_from(["{caption}", "at {time_of_day}: {caption}"]))
def test_what_is_encoded_fits_and_says_what_was_chosen(words: list[str], template: str) -> None:
    chosen = {"time_of_day": "night", "weather": "rain"}
    description = describe({"medium": "photo"}, chosen, [" ".join(words)], [], np.random.default_rng(0))
    prompt = expand(template, chosen, description)
    fitted = LIMIT.fit(prompt)
    assert LIMIT.count(fitted.text) <= 16
    assert fitted.text.endswith("night, rain")
    assert fitted.shortened == (LIMIT.count(str(prompt)) > 16) == (fitted.text != str(prompt))


def test_what_must_be_said_and_does_not_fit_is_refused() -> None:
    with pytest.raises(PromptTooLong, match="takes 16 tokens"):
        LIMIT.fit(
            Prompt(("an extraordinarily long template", ""), describe({}, {}, ["a"], [], np.random.default_rng(0)))
        )


@pytest.mark.parametrize(
    ("text", "spelled"),
    [("a rendered street, night, rain", False), ("a photo of a bus", True), ("", False), ("a photo - of 7", False)],
)
def test_words_that_the_tokenizer_has_not_learned_are_noticed(text: str, spelled: bool) -> None:
    assert LIMIT.spells(text) == spelled


def test_tokenizer_that_states_no_length_is_held_to_the_positions_of_its_encoder(base: DiffusionModel) -> None:
    assert base.prompt_limit.length == 12
    base.tokenizer.model_max_length = int(1e30)
    assert PromptLimit(base.tokenizer, 7).length == 7


def test_base_model_encodes_whole_prompts_alone(base: DiffusionModel) -> None:
    with torch.no_grad():
        assert base.embed(["a photo of a street, day", ""], 64, 64).embeddings.shape == (2, 12, 32)
    with pytest.raises(UserError, match=r"has 13 tokens, and the text encoder of .* takes 12: shorten it"):
        base.embed(["a", "a photo of a street, day, night, rain"], 64, 64)
