"""What is checked of the mixes of comparison and search before a run, and what is remarked on them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from augment.errors import UserError
from augment.prompts import DETAILS
from downstream.arms import AUGMENTED, PSEUDO, REAL, Term, baseline_of, number_text, parse_arm
from pipeline.datasets import TRAIN_SPLIT
from pipeline.stages.conditioning import AUTO
from pipeline.stages.generate import GenerateStep
from pipeline.stages.job import Job

if TYPE_CHECKING:
    from pipeline.config import Config

# Metadata that every synthetic image has, or any may have, whatever its source; its values are not known before.
_OF_PAINTED = ("medium", "source_dataset", "edited", "prompt_shortened", "reliable", "verdict", "conditioning")
# Values of a column; None where they are not known before a run.
Values = Collection[str] | None


def require_columns(job: Job) -> None:
    """Check that the filters of all mixes name columns that samples will have, and values in them.

    Raises:
        UserError: one does not; the message names the nearest.
    """
    terms = [(key, mix, term) for key, mix in _asked(job.config) for term in parse_arm(mix).terms if term.where]
    known = {source: dict(_columns(job, source)) for source in {term.source for *_, term in terms}}
    for key, mix, term in terms:
        _require(f"{key}: {mix!r}", term, known[term.source])


def _asked(config: Config) -> Iterator[tuple[str, str]]:
    """All mixes that may be trained, each with the key of the configuration that asks for it."""
    yield from (("downstream.mixes", mix) for mix in config.downstream.mixes)
    yield from (("search", mix) for mix in (config.search.candidates if config.search is not None else ()))


def require_augmentation_works(job: Job) -> None:
    """Check that the transforms of `downstream.augmentation` work, if a mix uses them.

    Raises:
        UserError: they do not.
    """
    options, taxonomy = job.config.downstream, job.images.taxonomy
    if taxonomy is None or not any(parse_arm(mix).uses(AUGMENTED) for _, mix in _asked(job.config)):
        return
    from downstream.albu import require_augmentation

    geometry = job.config.geometry
    size = geometry.height, geometry.width
    require_augmentation(options.arms.transforms, size, len(taxonomy), taxonomy.ignore_index)


def remarks_on(config: Config) -> list[str]:
    """What a reader of the comparison has to know of its mixes, a line each, and of what its search has seen."""
    mixes = config.downstream.mixes
    remarks = [*_on_shares("compare", mixes, config)]
    if config.search is not None:
        remarks += _on_shares("search", config.search.candidates, config)
        if seen := _by_all_labels(config):
            remarks.append(
                f"search: {' and '.join(seen)} {_go(seen)} by the labels of the images that it measures on too, so "
                "gains there may be too high; compare measures on others"
            )
    names = {str(parse_arm(mix)) for mix in mixes}
    if alone := [mix for mix in mixes if baseline_of(mix) not in names]:
        wanted = ", ".join(sorted({baseline_of(mix) for mix in alone}))
        remarks.append(f"compare: {', '.join(alone)}: without a baseline; add {wanted} to downstream.mixes")
    return remarks


def _on_shares(stage: str, mixes: Collection[str], config: Config) -> Iterator[str]:
    """What mixes with a share of the labels owe to all of them."""
    arms = {mix: parse_arm(mix) for mix in mixes}
    fewer = [mix for mix, arm in arms.items() if arm.percent is not None and arm.uses_synthetic]
    if curated := [mix for mix in fewer if arms[mix].uses_curated]:
        yield (
            f"{stage}: {', '.join(curated)}: the judge that curates has learned from all labels, not from a share of "
            "them; synthetic[raw] is without it"
        )
    if fewer and (asked := _by_all_labels(config)):
        yield (
            f"{stage}: {', '.join(fewer)}: {' and '.join(asked)} {_go(asked)} by the labels of all training images, "
            "not of a share of them"
        )


def _go(names: Collection[str]) -> str:
    return "go" if len(names) > 1 else "goes"


def remark_on_teacher(mixes: Collection[str], real: str, shortfall: str) -> str:
    """That the segmenter which predicts the labels of mixes with `pseudo`, trained on `real`, is unfit."""
    taught = [mix for mix in mixes if parse_arm(mix).uses(PSEUDO) and baseline_of(mix) == real]
    return (
        f"compare: {', '.join(taught)}: the segmenter that predicts labels, trained as the judge is on {real}, is "
        f"unfit, so many of them will be wrong: {shortfall}"
    )


def _by_all_labels(config: Config) -> list[str]:
    """The options that use the labels of all training images."""
    options = config.generate
    by_class = options.sampling is not None and options.sampling.by_class
    asked = {
        "conditioning=label": config.conditioning == "label",
        "generate.edit.paste": options.edit is not None and options.edit.paste is not None,
        "generate.k_by_judge": options.k_by_judge is not None,
        "generate.variants_by_hardness": options.variants_by_hardness is not None,
        f"generate.ks={AUTO}": options.ks == AUTO,
        "generate.sampling": by_class,
    }
    return [name for name, is_asked in asked.items() if is_asked]


def _columns(job: Job, source: str) -> Iterator[tuple[str, Values]]:
    """The columns that samples of a source will have."""
    config = job.config
    if job.images.is_rendered:
        yield from dict.fromkeys(("medium", *DETAILS)).items()
    else:
        records = job.images.candidates[TRAIN_SPLIT]
        for name in sorted({name for record in records for name in record.attributes}):
            yield name, {record.attributes[name] for record in records if name in record.attributes}
    if source == REAL:
        yield "dataset", None
        return
    yield from dict.fromkeys(_OF_PAINTED).items()
    yield "k", None if config.generate.ks == AUTO else set(map(str, job.step(GenerateStep).ks))
    by = config.generate.variants_by_hardness
    yield "variant", set(map(str, range(by.most if by else config.generate.variants)))
    if config.generate.guidance_scales:
        yield "guidance_scale", set(map(number_text, config.generate.guidance_scales))
    yield from config.generate.prompts.domains.items()


def _require(asked: str, term: Term, columns: Mapping[str, Values]) -> None:
    for column, values in term.where:
        if column not in columns:
            raise UserError(f"{asked}: {term.source} images have no {column!r}: {_nearest(column, columns)}")
        known = columns[column]
        if wrong := [] if known is None else [value for value in values if value not in known]:
            raise UserError(
                f"{asked}: no {term.source} image has {column}={wrong[0]}: {_nearest(wrong[0], known or ())}"
            )


def _nearest(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"there is {', '.join(sorted(known, key=_order)[:12])}"


def _order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (-1, name)
