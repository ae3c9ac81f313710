"""Check that prompts contain every chosen attribute, and that they fit the base model's text encoder."""

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
    """Check that every template contains the attributes that are chosen for a new image.

    Raises:
        UserError: a template leaves one out, so that the image would not show what its metadata claims.
    """
    for template in prompts.templates:
        names = places(template)
        said = names | (set(SAID) if CAPTION in names else set())
        for name, values in prompts.domains.items():
            if name not in said and any(values):
                raise UserError(
                    f"{KEY}.domains.{name}: the template {template!r} leaves it out, so no image would show it: "
                    f"write {{{name}}} into the template"
                    + (f", or {{{CAPTION}}}" if name in SAID else f", such as '{{{CAPTION}}}, {{{name}}}'")
                )


def require_prompts_fit(prompts: PromptOptions, base: str, revision: str | None = None) -> None:
    """Check that the text encoder takes the negative prompt, and each template with the longest values of the domains.

    `require_sources_fit` checks the attributes of the sources in the templates. ``revision`` is the commit of a base on
    the hub; None is the newest.

    Raises:
        UserError: it does not; the message gives the encoder's limit, and the token count of a negative prompt.
    """
    # A prompt without fixed text can always be shortened, so the tokenizer need not be loaded.
    if not prompts.negative and not prompts.domains and all(t == f"{{{CAPTION}}}" for t in prompts.templates):
        return
    from augment.lumen.prompt_limit import load_prompt_limit

    limit = load_prompt_limit(base, revision)
    if not limit.fits(prompts.negative):
        raise UserError(
            f"{KEY}.negative: it has {limit.count(prompts.negative)} tokens, and the text encoder of "
            f"generator.base={base} takes {limit.length}, including start and end tokens: shorten it"
        )
    longest = longest_values(prompts, limit)
    for template in prompts.templates:
        if not prompt_fits(template, {}, longest, limit):
            raise UserError(
                f"{KEY}: {template!r} with {', '.join(longest.values()) or 'no domain'} is too long even without "
                f"a caption for the text encoder of generator.base={base}, which takes {limit.length} tokens, "
                "including start and end tokens: shorten the template or the values of the domains"
            )


def require_sources_fit(
    prompts: PromptOptions,
    base: str,
    sources: Sequence[Mapping[str, str]],
    budget: ErrorBudget,
    revision: str | None = None,
) -> None:
    """Check that the text encoder takes the templates with the attributes of nearly all sources.

    Args:
        prompts: of the run, which fit without the attributes of sources.
        base: model that has the text encoder.
        sources: the attributes of each source.
        budget: how many samples may fail.
        revision: commit of a base on the hub; None is the newest.

    Raises:
        UserError: more sources than the budget allows make a prompt too long; the message gives one of them.
    """
    named = {template: sorted(places(template) - {CAPTION} - set(prompts.domains)) for template in prompts.templates}
    if not any(named.values()):
        return
    from augment.lumen.prompt_limit import load_prompt_limit

    limit = load_prompt_limit(base, revision)
    longest = longest_values(prompts, limit)
    for template, names in named.items():
        values = Counter(tuple(source[name] for name in names) for source in sources)
        long = [row for row in values if not prompt_fits(template, dict(zip(names, row, strict=True)), longest, limit)]
        failing = sum(values[row] for row in long)
        # Each template is chosen for an equal share of the samples.
        share = failing / len(prompts.templates)
        if long and (share > budget.allowed(len(sources)) or len(long) == len(values)):
            example = max(long, key=lambda row: limit.count(" ".join(row)))
            raise UserError(
                f"{KEY}: {template!r} with {', '.join([*example, *longest.values()])} is too long even without a "
                f"caption for the text encoder of generator.base={base}, which takes {limit.length} tokens, including "
                f"start and end tokens, and so for {failing} of {len(sources)} sources: shorten the template, or leave "
                f"{' or '.join(f'{{{name}}}' for name in names)} out"
            )


def longest_values(prompts: PromptOptions, limit: PromptLimit) -> dict[str, str]:
    """The value with the most tokens of each domain."""
    return {name: max(values, key=limit.count) for name, values in prompts.domains.items()}


def prompt_fits(template: str, source: Mapping[str, str], chosen: Mapping[str, str], limit: PromptLimit) -> bool:
    """Whether a template with these attributes of a source and of the domains fits once its caption is shortened."""
    for captions in ([], ["a"]):
        description = describe({}, chosen, captions, [], np.random.default_rng(0))
        prompt = expand(template, {**dict.fromkeys(places(template), ""), **source, **chosen}, description)
        try:
            limit.fit(prompt)
        except PromptTooLong:
            return False
    return True
