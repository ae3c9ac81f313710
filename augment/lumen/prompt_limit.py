"""What a text encoder takes of a prompt: so many tokens, and the words that its tokenizer has learned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from augment.errors import UserError
from augment.lumen import zoo

if TYPE_CHECKING:
    from augment.prompts import Prompt

# A word is known to a byte-pair tokenizer where it comes in few pieces; one that it never saw is spelled out.
LETTERS_A_PIECE = 2
SHORT_WORD = 2


class PromptTooLong(ValueError):  # noqa: N818 - it names the object at fault
    """A prompt that does not fit even when only what must be said is left of it."""


@dataclass(frozen=True)
class FittedPrompt:
    """What is encoded of a prompt, and whether that is less than was asked for."""

    text: str
    shortened: bool


class PromptLimit:
    """Fits prompts into what a text encoder takes, so that nothing is cut off in silence."""

    def __init__(self, tokenizer: Any, positions: int) -> None:
        """For a CLIP tokenizer, and a text encoder with so many positions."""
        self._tokenizer = tokenizer
        # A tokenizer that states no length claims to take any.
        self.length = min(int(tokenizer.model_max_length), positions)
        self._pieces = lru_cache(maxsize=1 << 14)(lambda word: len(tokenizer.tokenize(word)))

    def count(self, text: str) -> int:
        """Tokens of a text, with those that mark its start and end."""
        return len(self._tokenizer.tokenize(text)) + int(self._tokenizer.num_special_tokens_to_add())

    def fits(self, text: str) -> bool:
        """Whether the text encoder takes all of it."""
        return self.count(text) <= self.length

    def fit(self, prompt: Prompt) -> FittedPrompt:
        """The prompt, its description shortened at word boundaries as far as it must be.

        Chosen attributes and the template's own text are kept. Details of the source go first, then the words.

        Raises:
            PromptTooLong: what must be said does not fit.
        """
        text = str(prompt)
        if self.fits(text):
            return FittedPrompt(text, shortened=False)
        for shorter in prompt.shorter(self.length):
            if self.fits(shorter):
                return FittedPrompt(shorter, shortened=True)
        raise PromptTooLong(f"the text encoder takes {self.length} tokens, and {text!r} cannot be shortened to that")

    def spells(self, text: str) -> bool:
        """Whether the text has a word that the tokenizer has not learned and spells out, nearly letter by letter."""
        words = ("".join(filter(str.isalpha, word)) for word in text.split())
        return any(len(word) > SHORT_WORD and len(word) < LETTERS_A_PIECE * self._pieces(word) for word in words)


def load_prompt_limit(name: str) -> PromptLimit:
    """What the text encoder of a base model takes, without its weights; see `load_diffusion_model` for `name`.

    Raises:
        UserError: there is no tokenizer or text encoder of CLIP's.
    """
    from transformers import CLIPTextConfig, CLIPTokenizer

    from augment.loading import quiet

    source = zoo.source(name)
    try:
        with quiet():
            tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer")
            config = CLIPTextConfig.from_pretrained(source, subfolder="text_encoder")
    except (OSError, ValueError) as error:
        raise UserError(
            f"base model {name!r}: its tokenizer cannot be loaded ({str(error).strip().splitlines()[0]}): give a "
            "Stable Diffusion model in diffusers layout"
        ) from error
    return PromptLimit(tokenizer, config.max_position_embeddings)
