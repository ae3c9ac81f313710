"""What a base model's text encoder must take of the prompts that a configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from augment.errors import UserError
from augment.lumen.prompt_limit import PromptTooLong
from augment.prompts import CAPTION, SAID, describe, expand, places

if TYPE_CHECKING:
    from pipeline.config.generation import PromptConfig

KEY = "generate.prompts"


def require_said(prompts: PromptConfig) -> None:
    """Check that every prompt says the attributes that are chosen for a new image.

    Raises:
        UserError: a template leaves one out, so that the image would not have what its metadata claims.
    """
    for template in prompts.templates:
        names = places(template)
        said = names | (set(SAID) if CAPTION in names else set())
        for name, values in prompts.domains.items():
            if name not in said and any(values):
                raise UserError(
                    f"{KEY}.domains.{name}: the template {template!r} does not say it, so no image would show it: "
                    f"write {{{name}}} into the template"
                    + (f", or {{{CAPTION}}}" if name in SAID else f", such as '{{{CAPTION}}}, {{{name}}}'")
                )


def require_prompts_fit(prompts: PromptConfig, base: str) -> None:
    """Check that the text encoder takes the negative prompt, and of each template all that must be said.

    What the sources themselves say in a template is not known here; a sample that it makes too long is quarantined.

    Raises:
        UserError: it does not; the message says how many tokens there are and how many it takes.
    """
    # Where no text is fixed, a prompt can always be shortened, and the tokenizer need not be loaded.
    if not prompts.negative and not prompts.domains and all(t == f"{{{CAPTION}}}" for t in prompts.templates):
        return
    from augment.lumen.prompt_limit import load_prompt_limit

    limit = load_prompt_limit(base)
    if not limit.fits(prompts.negative):
        raise UserError(
            f"{KEY}.negative: it has {limit.count(prompts.negative)} tokens, and the text encoder of "
            f"generator.base={base} takes {limit.length}, those that mark start and end among them: shorten it"
        )
    longest = {name: max(values, key=limit.count) for name, values in prompts.domains.items()}
    for template in prompts.templates:
        for captions in ([], ["a"]):
            description = describe({}, longest, captions, [], np.random.default_rng(0))
            prompt = expand(template, {**dict.fromkeys(places(template), ""), **longest}, description)
            try:
                limit.fit(prompt)
            except PromptTooLong as error:
                raise UserError(
                    f"{KEY}: {template!r} with {', '.join(longest.values()) or 'no domain'} is too long even without "
                    f"a caption for the text encoder of generator.base={base}, which takes {limit.length} tokens, "
                    "those that mark start and end among them: shorten the template or the values of the domains"
                ) from error
