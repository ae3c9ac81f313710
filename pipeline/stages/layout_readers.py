"""The two tasks of probe: to fit readers of layouts on training images, and to measure what they read of others."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from augment.progress import TrainingStep
from pipeline.engine import FittingBatches, Resources, WorkUnit
from pipeline.stages.fit import require_revision
from pipeline.stages.reading import StoreSource
from pipeline.stages.seeds import stable_seed
from pipeline.store import Sample

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from augment.layouts.encoding import Batch, Encoder
    from augment.layouts.measuring import Sums
    from augment.layouts.readers import Readers
    from augment.progress import OnStep


@dataclass
class BasesTask:
    """Encodes images in several bases; a subclass does something with the batches.

    Attributes:
        source: images, with labels if there are any.
        backbone: to encode with.
        bases: folders by name.
        num_classes: classes of the labels; 0 without labels.
    """

    source: StoreSource
    backbone: str
    bases: Mapping[str, str]
    num_classes: int
    device: str
    resources: Resources
    batch_size: int
    name: str = "probe"
    _encoder: Encoder | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load the backbone and the bases.

        Raises:
            UserError: the backbone is not the one of the bases.
        """
        import torch

        from augment.backbones import load_backbone
        from augment.layouts.basis import LayoutBasis
        from augment.layouts.encoding import Encoder
        from augment.stride import STRIDE

        model, fitting = load_backbone(self.backbone, self.device), FittingBatches(self.name, self.batch_size)
        bases = {name: LayoutBasis.load(Path(folder)) for name, folder in self.bases.items()}
        for basis in bases.values():
            require_revision(self.backbone, model.revision, basis.revision)

        def encode(images: NDArray[np.uint8]) -> torch.Tensor:
            return torch.stack(fitting.run(list(images), lambda part: list(model.features(np.stack(part), STRIDE))))

        self._encoder = Encoder(encode, bases)

    @property
    def encoder(self) -> Encoder:
        """What `setup` has loaded."""
        assert self._encoder is not None
        return self._encoder

    def batches(self, unit: WorkUnit, on_step: OnStep) -> Iterator[Batch]:
        """Images, classes of their cells and seeds of a unit, in batches; a step is an image that is done with.

        Raises:
            UserError: an image of the store does not read.
        """
        samples = self.source.images(unit)
        done, started = 0, time.monotonic()
        while batch := list(islice(samples, self.batch_size)):
            images = np.stack([sample.image for sample in batch if sample.image is not None])
            classes = np.stack([self.classes(sample) for sample in batch])
            yield images, classes, [stable_seed("change", sample.key) for sample in batch]
            done += len(batch)
            on_step(TrainingStep(done, len(unit.keys), {}, done / (time.monotonic() - started), noun="image"))

    def classes(self, sample: Sample) -> NDArray[np.int64]:
        """Classes `int64 [h, w]` of the sample's cells, -1 for all of them without a label."""
        from augment.layouts.probing import UNLABELLED, cell_classes
        from augment.stride import STRIDE

        if sample.label is not None and self.num_classes:
            return cell_classes(sample.label[None], self.num_classes)[0]
        assert sample.image is not None
        height, width = sample.image.shape[:2]
        return np.full((height // STRIDE, width // STRIDE), UNLABELLED, np.int64)


@dataclass
class FitReaders(BasesTask):
    """Fits the readers of each basis on the images of one unit.

    Attributes:
        ks: of each basis, the numbers of components to fit probes at.
    """

    ks: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def train(self, unit: WorkUnit, on_step: OnStep) -> dict[str, Readers]:
        """The readers of each basis.

        Raises:
            UserError: an image of the store does not read, or its features are not finite.
        """
        from augment.layouts.readers import fit_readers

        labelled = self.labelled(unit)
        return fit_readers(self.encoder, self.batches(unit, on_step), labelled, self.ks, self.num_classes)

    def labelled(self, unit: WorkUnit) -> int:
        """How many cells of the unit's images have a class; this reads the labels alone."""
        from augment.layouts.probing import UNLABELLED

        if not self.num_classes:
            return 0
        labels = (item for item in replace(self.source, parts=("label",)).read(unit) if isinstance(item, Sample))
        return sum(int((self.classes(item) != UNLABELLED).sum()) for item in labels if item.label is not None)


@dataclass
class MeasureLayouts(BasesTask):
    """Sums up what is measured of each basis on the images of a unit.

    Attributes:
        readers: of each basis.
    """

    readers: Mapping[str, Readers] = field(default_factory=dict)

    def train(self, unit: WorkUnit, on_step: OnStep) -> dict[str, Sums]:
        """The sums of each basis.

        Raises:
            UserError: an image of the store does not read, or its features are not finite.
        """
        from augment.layouts.measuring import sums_of

        return sums_of(self.encoder, self.readers, self.batches(unit, on_step))
