"""adapt: the layout adapter is trained on the dataset's own images and layouts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from augment.prompts import Prompt
from pipeline.engine.remarks import remark
from pipeline.engine.stage import Resources, WorkUnit
from pipeline.stages.generate import stable_seed
from pipeline.stages.reading import CaptionedSource, PairedSource
from pipeline.stages.wording import caption_of

if TYPE_CHECKING:
    from augment.lumen.adapter_training import Example
    from augment.lumen.options import AdaptOptions
    from augment.lumen.prompt_limit import PromptLimit
    from augment.progress import OnStep

TRAINING = "training"
BASIS = "basis"


class StoredExamples:
    """Random access to the training pairs of the real store and the layout store.

    Attributes:
        classes: names of the train ids, for captions.
        limit: what the text encoder takes; a longer caption is shortened.
        shortened: keys of the samples read so far that have such a caption.
    """

    def __init__(
        self,
        source: PairedSource | CaptionedSource,
        keys: tuple[str, ...],
        classes: tuple[str, ...],
        limit: PromptLimit,
    ) -> None:
        self.source, self.keys, self.classes, self.limit = source, keys, classes, limit
        self.shortened: set[str] = set()

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Example:
        """Image, layout and caption of one sample.

        Raises:
            CorruptStore: its bytes do not decode.
        """
        from augment.lumen.adapter_training import Example

        sample = self.source.get(self.keys[index])
        assert sample.image is not None and sample.layout is not None
        # One of several captions, the same each time, so that a training that goes on sees what it saw.
        draws = np.random.default_rng(stable_seed("caption", sample.key))
        fitted = self.limit.fit(Prompt(("", ""), caption_of(sample, {}, self.classes, draws)))
        if fitted.shortened:
            self.shortened.add(sample.key)
        return Example(sample.image, sample.layout, fitted.text)


@dataclass
class Adapt:
    """Trains an adapter and saves it, its basis inside.

    Attributes:
        base: frozen base model.
        adapter: folder to start from, or None for a new adapter.
        basis: folder of the basis that the layouts are written in.
        num_components: components that a new adapter reads.
        source: images, layouts, and labels where there are any.
        options: length and speed.
        precision, seed: see `train_adapter`.
        folder: where the adapter is saved; what it needs to resume lies in `training/` meanwhile.
        classes: names of the train ids, for captions of images of which nothing else is known.
    """

    base: str
    adapter: str | None
    basis: str
    num_components: int
    source: PairedSource | CaptionedSource
    options: AdaptOptions
    precision: str
    seed: int
    folder: str
    device: str
    resources: Resources
    classes: tuple[str, ...] = ()
    name: str = "adapt"

    def setup(self) -> None:
        """Nothing that outlives the one unit."""

    def train(self, unit: WorkUnit, on_step: OnStep) -> int:
        """Train on the unit's keys; returns the number of training samples."""
        import torch

        from augment.loading import load_whole
        from augment.lumen.adapter import LayoutControlNet
        from augment.lumen.adapter_training import train_adapter
        from augment.lumen.diffusion_model import load_base
        from augment.lumen.trainer import CHECKPOINT

        folder = Path(self.folder)
        checkpoint = folder / TRAINING / CHECKPOINT
        if (folder / "config.json").is_file() and not checkpoint.is_file():
            return len(unit.keys)
        base = load_base(self.base, self.device)
        if self.adapter is None:
            adapter = LayoutControlNet.from_base(base.unet, self.num_components)
        else:
            adapter = load_whole(LayoutControlNet, Path(self.adapter), torch_dtype=torch.float32)
        examples = StoredExamples(self.source, unit.keys, self.classes, base.prompt_limit)
        train_adapter(base, adapter, examples, self.options, folder / TRAINING, on_step, self.precision, self.seed)
        if examples.shortened:
            count, tokens = len(examples.shortened), base.prompt_limit.length
            remark(
                f"adapt: captions of {count} images were shortened to the {tokens} tokens that the text encoder takes"
            )
        adapter.save_pretrained(folder)
        shutil.copytree(self.basis, folder / BASIS, dirs_exist_ok=True)
        # The averaged weights are saved; what is kept of the training is its record. That the checkpoint is gone
        # says that all of it was written.
        checkpoint.unlink()
        return len(unit.keys)
