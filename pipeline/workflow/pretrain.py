"""`lumen pretrain`: a small base model from scratch, on labelled or unlabelled datasets."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from augment.backbones.options import BackboneOptions
from augment.errors import UserError
from augment.files import write_whole
from augment.layouts.options import INVARIANT_ONLY
from augment.lumen.options import REPORTING_KEYS, CropOptions, PretrainOptions
from augment.options import AbsolutePath, Name
from augment.trackers import require_trackers
from pipeline.datasets import TRAIN_SPLIT, DatasetOptions, SizeOptions
from pipeline.engine import training_progress
from pipeline.store import JSON
from pipeline.store.manifest import differences
from pipeline.workspace.lock import sole_run

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from augment.lumen.pretrain import ImageSource

REQUEST = "request.json"
# The basis of pretrainings that were started before there were several kinds.
_FIRST_BASIS: JSON = {"basis_kind": "pca", "standardize": False}


class SourceConfig(CropOptions):
    """A dataset of training images, the size of their crops, and how to cut these."""

    dataset: DatasetOptions
    geometry: SizeOptions


class PretrainConfig(PretrainOptions):
    """A whole pretraining."""

    name: Name = Field(description="name of the model")
    workspace: AbsolutePath = Field(description="folder for checkpoints, logs and sample grids")
    destination: AbsolutePath = Field(description="folder that the finished model is written to")
    device: str = Field(default="cpu", description="torch device")
    threads: int | None = Field(default=None, ge=1, description="compute threads; null takes torch's default")
    backbone: BackboneOptions
    sources: dict[str, SourceConfig] = Field(min_length=1, description="training images, of train splits only")


def run(config: PretrainConfig, report: Callable[[str], None]) -> None:
    """Start or resume a pretraining; see `augment.lumen.pretrain`."""
    import torch

    from augment.backbones import LayeredBackbone, load_backbone
    from augment.lumen.pretrain import pretrain

    if config.threads:
        torch.set_num_threads(config.threads)
    require_trackers([*config.decoder.trackers, *config.diffusion.trackers])
    device = device_of(config.device)
    require_free_destination(config.destination)
    require_same_request(config)
    backbone = load_backbone(config.backbone.reference, config.device)
    if not isinstance(backbone, LayeredBackbone):
        raise UserError(f"backbone.name={backbone.name}: it has no layer_tokens, which training the decoder compares")
    sources = {
        name: read_source(source, config.workspace / f"scenes-{name}", report)
        for name, source in config.sources.items()
    }
    with sole_run(config.workspace), training_progress("pretrain", report) as watch:
        keep_request(config)
        on_step = partial(watch, "")
        pretrain(sources, backbone, config, config.workspace, config.destination, device, report, on_step)


def device_of(name: str) -> torch.device:
    """The torch device of this name.

    Raises:
        UserError: torch does not know it, or this machine has no such device.
    """
    import torch

    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device={name!r}: {reason}; give cpu, or cuda on a machine with a GPU") from error
    return device


def require_free_destination(folder: Path) -> None:
    """Check that the destination is free or holds an older model, which the new one replaces.

    Raises:
        UserError: the folder holds something else.
    """
    if folder.exists() and not (folder / "model_index.json").is_file() and any(folder.iterdir()):
        raise UserError(f"destination={folder} holds something other than a model: name a new folder")


def request_of(config: PretrainConfig) -> dict[str, JSON]:
    """The options that a workspace keeps: all but paths, device, threads, reporting, and the steps of the diffusion."""
    places = dict.fromkeys(("name", "workspace", "destination", "device", "threads"), True)
    request = config.model_dump(mode="json", exclude={**places, "decoder": REPORTING_KEYS, "diffusion": True})
    diffusion = config.diffusion.semantic
    return {
        **request,
        "backbone": config.backbone.model_dump(mode="json", exclude_defaults=True),
        "diffusion": {name: value for name, value in diffusion.items() if name != "steps"},
    }


def require_same_request(config: PretrainConfig) -> None:
    """Check that the configuration is the one that the workspace was started with.

    Raises:
        UserError: it is another one.
    """
    path = config.workspace / REQUEST
    if path.exists():
        changed = differences(_with_basis(json.loads(path.read_text())), _with_basis(request_of(config)))
        if changed:
            raise UserError(
                f"{config.workspace} was started with another configuration ({'; '.join(changed)}): "
                "give another workspace, or remove this one"
            )


def _with_basis(request: dict[str, JSON]) -> dict[str, JSON]:
    """A request with what its basis depends on; the first ones do not name it, because there was one kind."""
    basis = request.get("basis", _FIRST_BASIS)
    assert isinstance(basis, dict)
    unused = INVARIANT_ONLY if basis["basis_kind"] == "pca" else frozenset()
    return {**request, "basis": {name: value for name, value in basis.items() if name not in unused}}


def keep_request(config: PretrainConfig) -> None:
    """Record the configuration that the workspace is started with."""
    config.workspace.mkdir(parents=True, exist_ok=True)
    write_whole(config.workspace / REQUEST, json.dumps(request_of(config), indent=2) + "\n")


def read_source(config: SourceConfig, scenes: Path, report: Callable[[str], None]) -> ImageSource:
    """Read the train split of a dataset into memory; render scenes first, if it is a rendered one."""
    from augment.lumen.pretrain import CaptionedImage, ImageSource
    from pipeline.stages.dataset_source import select
    from pipeline.stages.rendering import render_once

    if config.dataset.kind == "rendered":
        assert config.dataset.render is not None
        render_once(scenes, config.dataset.render, None, report)
    dataset = config.dataset.open(config.dataset.root or scenes)
    listing = config.dataset.list_images(dataset, [TRAIN_SPLIT])
    for line in listing.remarks():
        report(line)
    records = select(listing.records, config.dataset.limit)[TRAIN_SPLIT]
    report(f"reading {len(records)} images of {dataset.name}")
    images = [CaptionedImage(dataset.load(record).image, record.attributes) for record in records]
    return ImageSource(images, config.geometry.height, config.geometry.width, config)
