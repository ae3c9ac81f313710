"""The training of an adapter, as a worker runs it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from augment.conditioning import LAYOUT, ConditioningKind
from augment.conditioning.record import save_conditioning
from augment.lumen.options import AdaptOptions
from augment.lumen.sampling.options import Precision
from augment.lumen.training.versions import version_names
from augment.stride import STRIDE
from pipeline.engine import Resources, WorkUnit
from pipeline.stages.adapt_progress import TRAINING
from pipeline.stages.conditioning import LoadConditioning
from pipeline.stages.encoded_samples import StoredExamples, StoredSamples
from pipeline.stages.generator import BASIS
from pipeline.stages.reading import CaptionedSource, PairedSource, StoreSource
from pipeline.store.location import Location

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.lumen.adapter import Adapter
    from augment.lumen.bases.base import DiffusionModel
    from augment.lumen.training.consistency import LayoutConsistency
    from augment.progress import OnStep

# Images in a sample grid.
SHOWN = 8


@dataclass
class Adapt:
    """Trains an adapter and saves it, its basis inside.

    Attributes:
        base: frozen base model.
        adapter: folder to start from, or None for a new adapter.
        basis: folder of the basis that the layouts are written in; None if the adapter reads something else.
        num_components: components or channels that a new adapter reads.
        latents, layouts: URLs of the stores to train on.
        views: layouts of photometric copies that each image has, 0 if these are not used.
        images: images, layouts, and labels where there are any, for sample grids and the validation loss.
        options: see `AdaptOptions`.
        precision, seed: see `train_adapter`.
        folder: where the adapter is saved, and in `training/` the logs.
        checkpoints: URL of the folder of the checkpoint.
        classes: names of the train ids, for captions of images of which nothing else is known.
        conditioning: kind of what the adapter reads.
        load_conditioning: gives it, to be recorded with the adapter; None for neural layouts.
        backbone: of the layouts, for `options.objective.consistency`.
        held_out: keys of samples for a validation loss.
        revision, controlnet_revision: commits of a base and a ControlNet on a hub; None is the newest.
    """

    base: str
    adapter: str | None
    basis: str | None
    num_components: int
    latents: str
    layouts: str
    views: int
    images: PairedSource | CaptionedSource
    options: AdaptOptions
    precision: Precision
    seed: int
    folder: str
    checkpoints: str
    device: str
    resources: Resources
    classes: tuple[str, ...] = ()
    conditioning: ConditioningKind = LAYOUT
    load_conditioning: LoadConditioning | None = None
    backbone: str = ""
    held_out: tuple[str, ...] = ()
    revision: str | None = None
    controlnet_revision: str | None = None
    name: str = "adapt"

    @property
    def most_workers(self) -> int:
        """Each worker takes at least one sample of a batch."""
        return self.options.batch_size

    def setup(self) -> None:
        """Nothing that outlives the one unit."""

    def train(self, unit: WorkUnit, on_step: OnStep) -> int:
        """Train on the unit's keys; returns the number of training samples."""
        from augment.lumen.training.adapter_training import train_adapter
        from augment.lumen.training.checkpoint import Checkpoint, Folder
        from augment.lumen.training.group import Group

        folder, group = Path(self.folder), Group.current()
        checkpoint = Checkpoint(Location(self.checkpoints) if "://" in self.checkpoints else Folder(folder / TRAINING))
        if group.share((folder / "config.json").is_file() and not checkpoint.exists()):
            return len(unit.keys)
        reads = self.load_conditioning("cpu") if self.load_conditioning else None
        base, adapter = self.models()
        places = np.linspace(0, len(unit.keys) - 1, min(SHOWN, len(unit.keys)), dtype=int)
        shown, held_out = (
            StoredExamples(self.images, keys, self.classes, base.prompt_limit)
            for keys in ([unit.keys[index] for index in places.tolist()], self.held_out)
        )
        examples = StoredSamples(
            self.latents,
            self.layouts,
            unit.keys,
            version_names(self.options),
            self.views,
            self.empty_text(base, unit.keys[0]),
        )
        train_adapter(
            base,
            adapter,
            examples,
            [shown[index] for index in range(len(shown))],
            self.options,
            folder / TRAINING,
            on_step,
            self.precision,
            self.seed,
            self.conditioning,
            self.consistency(),
            held_out,
            group=group,
            checkpoint=checkpoint,
        )
        if not group.leads:
            return len(unit.keys)
        adapter.save_pretrained(folder)
        if self.basis is not None:
            shutil.copytree(self.basis, folder / BASIS, dirs_exist_ok=True)
        if reads is not None:
            save_conditioning(reads, folder)
        # Only the averaged weights and the logs are kept. A missing checkpoint means that all of them were written.
        checkpoint.remove()
        return len(unit.keys)

    def models(self) -> tuple[DiffusionModel, Adapter]:
        """The frozen base on the device, and the adapter to train in host memory, in float32.

        On a GPU, a training in bf16 has a network in bf16: half the memory, and no cast at every step.
        """
        import torch

        from augment.loading import quiet
        from augment.lumen.adapter import load_adapter
        from augment.lumen.bases.loading import load_diffusion_model
        from augment.lumen.warm_start import adapter_from_controlnet

        half = torch.bfloat16 if self.precision == "bf16" and torch.device(self.device).type == "cuda" else None
        copies = self.adapter is None and self.options.controlnet is None
        # Weights that an adapter begins as a copy of are not rounded before.
        base = load_diffusion_model(self.base, network=None if copies else half, revision=self.revision)
        # A new adapter begins with random weights: the same if a worker is lost before the first checkpoint.
        torch.manual_seed(self.seed)
        if self.adapter is not None:
            adapter = load_adapter(Path(self.adapter))
        elif self.options.controlnet is not None:
            revision = self.controlnet_revision
            adapter = adapter_from_controlnet(self.options.controlnet, self.num_components, revision=revision)
        else:
            adapter = base.new_adapter(self.num_components)
        if half is not None:
            with quiet():
                base.network.to(half)
        return base.to(self.device), adapter

    def empty_text(self, base: DiffusionModel, key: str) -> dict[str, NDArray[np.floating]]:
        """The embeddings of the empty caption for images of the size of a sample."""
        import torch

        from augment.lumen.training.examples import text_arrays

        layout = StoreSource(self.layouts, ("layout",)).get(key).layout
        assert layout is not None
        height, width = (cells * STRIDE for cells in layout.shape[1:])
        with torch.no_grad():
            [empty] = text_arrays(base.embed([""], height, width))
        return empty

    def consistency(self) -> LayoutConsistency | None:
        """The reward that the options weigh, with the backbone of the layouts."""
        from augment.backbones import load_backbone
        from augment.layouts.basis import LayoutBasis
        from augment.lumen.training.consistency import LayoutConsistency

        options = self.options.objective
        if not options.consistency or self.basis is None:
            return None
        backbone, basis = load_backbone(self.backbone, self.device), LayoutBasis.load(Path(self.basis))
        return LayoutConsistency.of(backbone, basis, options.consistency_below)
