"""The conditioning of a run: how workers load it, what its maps depend on, and whether images have what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from augment.conditioning import LAYOUT, TITLES, Conditioning
from augment.conditioning.options import CHANNELS
from augment.conditioning.record import saved_conditioning
from augment.errors import UserError
from pipeline.checks.depth import require_depth
from pipeline.stages.generator import start_adapter
from pipeline.stages.job import Job
from pipeline.store import JSON
from pipeline.workspace.mismatch import content_of
from pipeline.workspace.model_files import pinned_identity, pinned_revision

if TYPE_CHECKING:
    from pipeline.config import Config

# Makes the conditioning in a worker, with its model on a device.
LoadConditioning: TypeAlias = Callable[[str], Conditioning]

# Values of generate.ks: one k, as many as there are; and those that the curves of the layouts recommend.
ALL: Literal["all"] = "all"
AUTO: Literal["auto"] = "auto"

CONDITIONING_NAMES = {
    "conditioning": "conditioning",
    "conditioning.kind": "conditioning",
    "conditioning.low": "canny.low",
    "conditioning.high": "canny.high",
    "conditioning.sigma": "soft_edge.sigma",
    "conditioning.model": "depth.model",
    "conditioning.model.name": "depth.model",
    "conditioning.model.digest": content_of("the files of depth.model"),
    "conditioning.model.revision": "the revision of depth.model",
}


def is_layout(config: Config) -> bool:
    """Whether a run is conditioned on neural layouts."""
    return config.conditioning == LAYOUT


def reads_labels(config: Config) -> bool:
    """Whether the maps are made of labels."""
    return config.conditioning == "label"


def conditioning_inputs(job: Job, recorded: Mapping[str, JSON]) -> dict[str, JSON]:
    """What maps other than neural layouts depend on beside the real store; nothing for neural layouts.

    Args:
        job: the run.
        recorded: the inputs of the store of maps, empty if there is none; they name the revision of a hub id.
    """
    config = job.config
    if is_layout(config):
        return {}
    settings: dict[str, Callable[[], Mapping[str, JSON]]] = {
        "canny": config.canny.model_dump,
        "soft_edge": config.soft_edge.model_dump,
        # The real store is of certain classes, and its digest covers them.
        "label": dict,
        "depth": lambda: {"model": _depth_model(config, recorded)},
    }
    return {"conditioning": {"kind": config.conditioning, **settings[config.conditioning]()}}


def _depth_model(config: Config, recorded: Mapping[str, JSON]) -> Mapping[str, JSON]:
    found = recorded.get("conditioning")
    return pinned_identity(config.depth.model or "", found.get("model") if isinstance(found, dict) else None)


def load_other(job: Job, recorded: Mapping[str, JSON]) -> LoadConditioning:
    """How workers load a conditioning that is not the neural layout; see `conditioning_inputs`.

    They refuse one with other maps than the adapter to start from was trained on: `plan` cannot compare a depth model
    that it has not downloaded.

    Raises:
        UserError: it needs labels, and the dataset has none, or too many classes.
    """
    config = job.config
    if config.conditioning == "depth":
        load = partial(_load_depth, config.depth.model or "", pinned_revision(_depth_model(config, recorded)))
    else:
        load = partial(_load_plain, _plain(job))
    start = start_adapter(config)
    return partial(_load_same, load, saved_conditioning(start), start) if start else load


def conditioning_channels(job: Job) -> int:
    """Channels of the maps.

    Raises:
        UserError: see `load_other`.
    """
    if is_layout(job.config):
        return job.config.layout.k_max
    return CHANNELS.get(job.config.conditioning) or _plain(job).channels


def ks_to_paint(job: Job, recommended: Callable[[], tuple[int, ...]]) -> tuple[int, ...]:
    """The numbers of components or channels that `generate.ks` means; `recommended` gives those of `auto`.

    Raises:
        UserError: one takes a part of channels that have no order; or see `load_other`.
    """
    ks, conditioning, channels = job.config.generate.ks, job.config.conditioning, conditioning_channels(job)
    if ks == AUTO:
        return recommended()
    if ks == ALL:
        return (channels,)
    if conditioning != LAYOUT and set(ks) - {0, channels}:
        # Of an adapter for something else, this is not the first thing to say.
        start_adapter(job.config)
        raise UserError(
            f"generate.ks={list(ks)}: the {channels} channels of conditioning={conditioning} have no order, so the "
            f"adapter reads all of them: give generate.ks=all, or [0, {channels}] to compare with images without"
        )
    return ks


def expected_facts(job: Job) -> Mapping[str, Any]:
    """The facts of a conditioning other than the neural layout; those of its model only where it is in a folder."""
    if job.config.conditioning == "depth":
        name = job.config.depth.model or ""
        known = {"revision": _revision(name)} if Path(name).is_dir() else {}
        return {"kind": job.config.conditioning, "channels": conditioning_channels(job), **known}
    return _plain(job).facts()


def require_conditioning(job: Job) -> None:
    """Check that the model of the conditioning exists and is one that it can use.

    Raises:
        UserError: it does not.
    """
    if job.config.conditioning == "depth":
        require_depth(job.config.depth.model or "")


def require_conditioned(job: Job) -> None:
    """Check that every image has what the conditioning reads.

    Raises:
        UserError: it reads labels, and an image has none.
    """
    if reads_labels(job.config):
        remedy = "take only labelled images with dataset.only_labelled=true, or another conditioning"
        job.images.require_labels(job.config.dataset.splits, ["conditioning=label"], remedy)


def require_same(saved: Mapping[str, Any], expected: Mapping[str, Any], folder: Path) -> None:
    """Check that an adapter was trained on the maps that it is to be given.

    Raises:
        UserError: it was trained on others.
    """
    from augment.conditioning.record import changed_facts

    if changes := changed_facts(saved, expected):
        raise UserError(
            f"generator.adapter: {folder} reads {TITLES[saved['kind']]} with {changes}: give the same settings, or "
            "train a new one with generator.adapter=null"
        )


def _plain(job: Job) -> Conditioning:
    """A conditioning without a model."""
    from augment.conditioning.canny import Canny
    from augment.conditioning.label_map import LabelMap
    from augment.conditioning.soft_edge import SoftEdge

    config = job.config
    if config.conditioning == "canny":
        return Canny(config.canny.low, config.canny.high)
    if config.conditioning == "soft_edge":
        return SoftEdge(config.soft_edge.sigma)
    taxonomy = job.images.taxonomy
    if taxonomy is None:
        raise UserError(
            "conditioning=label reads labels, and the dataset has none: give labels, or take layout, canny, depth or "
            "soft_edge"
        )
    return LabelMap(taxonomy.classes, taxonomy.ignore_index)


def _load_same(load: LoadConditioning, saved: Mapping[str, Any], adapter: Path, device: str) -> Conditioning:
    found = load(device)
    require_same(saved, found.facts(), adapter)
    return found


def _load_plain(made: Conditioning, _device: str) -> Conditioning:
    return made


def _load_depth(model: str, revision: str | None, device: str) -> Conditioning:
    from augment.conditioning.depth import Depth

    return Depth(model, device, revision)


@lru_cache(maxsize=4)
def _revision(model: str) -> str:
    from augment.conditioning.depth import Depth

    return Depth(model).revision
