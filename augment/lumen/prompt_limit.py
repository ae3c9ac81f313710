"""The limits of a text encoder: the tokens it takes, and the words that its tokenizer has learned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from augment.errors import UserError
from augment.lumen import zoo

if TYPE_CHECKING:
    from augment.prompts import Prompt

# A byte-pair tokenizer splits a word that it has learned into few pieces, and spells out an unknown one.
LETTERS_PER_PIECE = 2
SHORT_WORD = 2


class PromptTooLong(ValueError):  # noqa: N818 - it names the object at fault
    """Even the shortest form of the prompt does not fit."""


@dataclass(frozen=True)
class FittedPrompt:
    """The text to encode, and whether it is shorter than the prompt."""

    text: str
    shortened: bool


class PromptLimit:
    """Shortens prompts to what a text encoder takes, so that nothing is cut off silently."""

    def __init__(self, tokenizer: Any, positions: int) -> None:
        """For a CLIP tokenizer, and a text encoder with this number of positions."""
        self._tokenizer = tokenizer
        # A tokenizer without a length of its own claims to take any.
        self.length = min(int(tokenizer.model_max_length), positions)
        self._pieces = lru_cache(maxsize=1 << 14)(lambda word: len(tokenizer.tokenize(word)))

    def count(self, text: str) -> int:
        """Number of tokens of a text, including those that mark its start and end."""
        return len(self._tokenizer.tokenize(text)) + int(self._tokenizer.num_special_tokens_to_add())

    def fits(self, text: str) -> bool:
        """Whether the text encoder takes the whole text."""
        return self.count(text) <= self.length

    def fit(self, prompt: Prompt) -> FittedPrompt:
        """Shorten the description of a prompt at word boundaries until the prompt fits.

        Chosen attributes and the template's own text are kept. Details of the source are dropped first, then words.

        Raises:
            PromptTooLong: even the shortest form does not fit.
        """
        text = str(prompt)
        if self.fits(text):
            return FittedPrompt(text, shortened=False)
        for shorter in prompt.shorter(self.length):
            if self.fits(shorter):
                return FittedPrompt(shorter, shortened=True)
        raise PromptTooLong(f"the text encoder takes {self.length} tokens, and {text!r} cannot be shortened to that")

    def spells(self, text: str) -> bool:
        """Whether the tokenizer has not learned a word of the text, and spells it nearly letter by letter."""
        words = ("".join(filter(str.isalpha, word)) for word in text.split())
        return any(len(word) > SHORT_WORD and len(word) < LETTERS_PER_PIECE * self._pieces(word) for word in words)


def load_prompt_limit(name: str, revision: str | None = None) -> PromptLimit:
    """Load the limit of a base model's text encoder, without its weights; see `load_diffusion_model` for both.

    Raises:
        UserError: the model has no CLIP tokenizer or text encoder.
    """
    from transformers import CLIPTextConfig, CLIPTokenizer

    from augment.loading import quiet

    source = zoo.source(name)
    try:
        with quiet():
            tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer", revision=revision)
            config = CLIPTextConfig.from_pretrained(source, subfolder="text_encoder", revision=revision)
    except (OSError, ValueError) as error:
        raise UserError(
            f"base model {name!r}: its tokenizer cannot be loaded ({str(error).strip().splitlines()[0]}): give a "
            "Stable Diffusion model in diffusers layout"
        ) from error
    return PromptLimit(tokenizer, config.max_position_embeddings)
