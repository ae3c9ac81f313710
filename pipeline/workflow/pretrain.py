"""`lumen pretrain`: a small base model from scratch, on labelled or unlabelled datasets."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from augment.errors import UserError
from augment.files import write_whole
from augment.lumen.options import REPORTING_KEYS, PretrainOptions
from augment.options import AbsolutePath, Name, Options
from pipeline.datasets import TRAIN_SPLIT, DatasetOptions, SizeOptions
from pipeline.engine import training_progress
from pipeline.stages.fit import BackboneOptions
from pipeline.store import JSON
from pipeline.store.manifest import differences
from pipeline.workspace.lock import sole_run

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from augment.lumen.pretrain import ImageSource

REQUEST = "request.json"


class SourceConfig(Options):
    """Training images and how crops are cut from them."""

    dataset: DatasetOptions
    geometry: SizeOptions
    crops_per_image: int = Field(default=1, ge=1, le=1000, description="crops of each image to learn from")
    smallest: float = Field(default=0.6, gt=0, le=1, description="smallest crop, as a share of the largest")
    weight: float = Field(default=1.0, gt=0, description="how often a step draws from this source")


class PretrainConfig(PretrainOptions):
    """A whole pretraining."""

    name: Name = Field(description="name of the model")
    workspace: AbsolutePath = Field(description="folder for checkpoints, logs and sample grids")
    destination: AbsolutePath = Field(description="folder that the finished model is written to")
    device: str = Field(default="cpu", description="torch device")
    threads: int | None = Field(default=None, ge=1, description="compute threads; null takes torch's default")
    backbone: BackboneOptions
    sources: dict[str, SourceConfig] = Field(min_length=1, description="what to learn from; train splits only")


def run(config: PretrainConfig, report: Callable[[str], None]) -> None:
    """Do what is left of a pretraining; see `augment.lumen.pretrain`."""
    import torch

    from augment.backbones import LayeredBackbone, load_backbone
    from augment.lumen.pretrain import pretrain

    if config.threads:
        torch.set_num_threads(config.threads)
    device = device_of(config.device)
    require_free_destination(config.destination)
    require_same_request(config)
    sources = {
        name: read_source(source, config.workspace / f"scenes-{name}", report)
        for name, source in config.sources.items()
    }
    backbone = load_backbone(config.backbone.name, config.device)
    if not isinstance(backbone, LayeredBackbone):
        raise UserError(f"backbone.name={backbone.name}: it has no layer_tokens, which training the decoder compares")
    with sole_run(config.workspace), training_progress("pretrain", report) as watch:
        keep_request(config)
        on_step = partial(watch, "")
        pretrain(sources, backbone, config, config.workspace, config.destination, device, report, on_step)


def device_of(name: str) -> torch.device:
    """The torch device of that name.

    Raises:
        UserError: torch knows none, or has none here.
    """
    import torch

    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device={name!r}: {reason}; give cpu, or cuda where there is a GPU") from error
    return device


def require_free_destination(folder: Path) -> None:
    """Check that the finished model would replace nothing but a model.

    Raises:
        UserError: the folder holds something else.
    """
    if folder.exists() and not (folder / "model_index.json").is_file() and any(folder.iterdir()):
        raise UserError(
            f"destination={folder} holds something other than a model: name a folder of its own for this one"
        )


def request_of(config: PretrainConfig) -> dict[str, JSON]:
    """What a workspace is begun with: all but where and how fast, and how long the diffusion is trained."""
    places = dict.fromkeys(("name", "workspace", "destination", "device", "threads"), True)
    lengths = {"decoder": REPORTING_KEYS, "diffusion": {"steps", *REPORTING_KEYS}}
    return config.model_dump(mode="json", exclude={**places, **lengths})


def require_same_request(config: PretrainConfig) -> None:
    """Hold a workspace to what it was begun with.

    Raises:
        UserError: it was begun with another configuration.
    """
    path = config.workspace / REQUEST
    if path.exists():
        changed = differences(json.loads(path.read_text()), request_of(config))
        if changed:
            raise UserError(
                f"{config.workspace} was begun with another configuration ({'; '.join(changed)}): "
                "give another workspace, or remove this one"
            )


def keep_request(config: PretrainConfig) -> None:
    """Write down what the workspace is begun with."""
    config.workspace.mkdir(parents=True, exist_ok=True)
    write_whole(config.workspace / REQUEST, json.dumps(request_of(config), indent=2) + "\n")


def read_source(config: SourceConfig, scenes: Path, report: Callable[[str], None]) -> ImageSource:
    """Read the train split of a dataset into memory; scenes that are to be rendered are rendered first."""
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
    return ImageSource(
        images,
        config.geometry.height,
        config.geometry.width,
        config.crops_per_image,
        config.smallest,
        config.weight,
    )
