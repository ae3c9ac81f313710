"""What a base model's text encoder must take of the prompts that a configuration asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from augment.errors import UserError
from augment.lumen.prompt_limit import PromptTooLong
from augment.prompts import CAPTION, SAID, describe, expand, places

if TYPE_CHECKING:
    from augment.lumen.prompt_limit import PromptLimit
    from augment.prompts import PromptOptions
    from pipeline.engine import ErrorBudget

KEY = "generate.prompts"


def require_said(prompts: PromptOptions) -> None:
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


def require_prompts_fit(prompts: PromptOptions, base: str) -> None:
    """Check that the text encoder takes the negative prompt, and of each template all that must be said.

    For what the sources themselves say in a template, see `require_sources_fit`.

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
    longest = longest_values(prompts, limit)
    for template in prompts.templates:
        if not can_be_said(template, {}, longest, limit):
            raise UserError(
                f"{KEY}: {template!r} with {', '.join(longest.values()) or 'no domain'} is too long even without "
                f"a caption for the text encoder of generator.base={base}, which takes {limit.length} tokens, "
                "those that mark start and end among them: shorten the template or the values of the domains"
            )


def require_sources_fit(
    prompts: PromptOptions, base: str, sources: Sequence[Mapping[str, str]], budget: ErrorBudget
) -> None:
    """Check that the text encoder takes what the templates say of the sources, for as many as the budget asks.

    Args:
        prompts: of the run, which fit without what the sources say.
        base: model that has the text encoder.
        sources: the attributes of each source.
        budget: how many samples may fail.

    Raises:
        UserError: more sources than that make a prompt too long; the message gives one of them.
    """
    named = {template: sorted(places(template) - {CAPTION} - set(prompts.domains)) for template in prompts.templates}
    if not any(named.values()):
        return
    from augment.lumen.prompt_limit import load_prompt_limit

    limit = load_prompt_limit(base)
    longest = longest_values(prompts, limit)
    for template, names in named.items():
        values = Counter(tuple(source[name] for name in names) for source in sources)
        long = [
            said for said in values if not can_be_said(template, dict(zip(names, said, strict=True)), longest, limit)
        ]
        # Each template is chosen for an equal share of the samples.
        failing = sum(values[said] for said in long) / len(prompts.templates)
        if long and (failing > budget.allowed(len(sources)) or len(long) == len(values)):
            example = max(long, key=lambda said: limit.count(" ".join(said)))
            raise UserError(
                f"{KEY}: {template!r} with {', '.join([*example, *longest.values()])} is too long even without a "
                f"caption for the text encoder of generator.base={base}, which takes {limit.length} tokens, those that "
                f"mark start and end among them, and so for {sum(values[said] for said in long)} of {len(sources)} "
                f"sources: shorten the template, or leave {' or '.join(f'{{{name}}}' for name in names)} out"
            )


def longest_values(prompts: PromptOptions, limit: PromptLimit) -> dict[str, str]:
    """Of each domain the value with the most tokens."""
    return {name: max(values, key=limit.count) for name, values in prompts.domains.items()}


def can_be_said(template: str, source: Mapping[str, str], chosen: Mapping[str, str], limit: PromptLimit) -> bool:
    """Whether a template fits with these attributes of a source and of the domains, if its caption may be shortened."""
    for captions in ([], ["a"]):
        description = describe({}, chosen, captions, [], np.random.default_rng(0))
        prompt = expand(template, {**dict.fromkeys(places(template), ""), **source, **chosen}, description)
        try:
            limit.fit(prompt)
        except PromptTooLong:
            return False
    return True
