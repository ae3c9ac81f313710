"""probe: what the first k components of the layouts keep of a scene, and what of its appearance."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from augment.errors import UserError
from augment.options import Options, Positive
from augment.progress import TrainingStep
from pipeline.datasets import TRAIN_SPLIT
from pipeline.datasets.thinning import thinned
from pipeline.engine import FittingBatches, Resources, WorkUnit
from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.conditioning import is_layout
from pipeline.stages.fit import BASES, FitStep, require_reachable_backbone, require_revision
from pipeline.stages.reading import StoreSource, keys_by_shard, split_of
from pipeline.stages.seeds import stable_seed
from pipeline.stages.shard import ShardStep
from pipeline.stages.tools import Tools
from pipeline.stages.trainings import held_out
from pipeline.store import JSON, Sample, taxonomy_of
from pipeline.workspace.content import content_digest
from pipeline.workspace.model_files import backbone_identity, basis_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.layouts.curves import Curves
    from augment.progress import OnStep
    from pipeline.config import Config

# Files of the artifact: the curves by the name of the basis, and their chart.
CURVES, CHART = "curves.json", "curves.svg"
KS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 32, 48, 64, 96, 128)

_REMEDY = "give the numbers of components, such as generate.ks=[5, 10, 20]"


class ProbeOptions(Options):
    """How much is measured of what layouts keep."""

    train_images: Positive = Field(default=100, description="training images that the readers of layouts are fitted on")
    held_out_images: Positive = Field(default=50, description="held-out images that they are measured on")


class ProbeStep(ArtifactStep):
    """Makes the curves by k of each basis, which `lumen layouts` shows and `generate.ks=auto` chooses from."""

    name = "probe"
    output = "curves"
    title = "the curves of the layouts"
    kind = "curves"
    derived = True
    reads = ("shard", "fit")
    needs_held_out = True

    @classmethod
    def left_out(cls, config: Config) -> str:
        """See `Step.left_out`."""
        if not is_layout(config):
            return f"conditioning={config.conditioning} has no components to choose from; layout has"
        return super().left_out(config)

    def check_models(self) -> None:
        """Check that the backbone exists."""
        require_reachable_backbone(self.config.backbone.reference)

    @property
    def bases(self) -> dict[str, Path]:
        """Folders of the bases to compare, by name; one that is there twice is named once."""
        found: dict[str, Path] = {}
        digests = set()
        for name in BASES:
            folder = self.job.step(FitStep).path / name
            if folder.is_dir() and (digest := basis_digest(folder)) not in digests:
                digests.add(digest)
                found[name] = folder
        return found

    def inputs(self) -> Mapping[str, JSON]:
        """What the curves depend on."""
        return {
            "real": content_digest(self.job.step(ShardStep).store),
            "backbone": backbone_identity(self.config.backbone.reference),
            "bases": {name: basis_digest(folder) for name, folder in self.bases.items()},
            "split": held_out(self.job),
            "options": self.config.probe.model_dump(),
        }

    def build(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Measure all bases on the same images."""
        from augment.layouts.curve_chart import curve_chart

        real, options = self.job.step(ShardStep), self.config.probe
        splits = {TRAIN_SPLIT: options.train_images, held_out(self.job): options.held_out_images}
        units = [self.unit(split, limit) for split, limit in splits.items()]
        taxonomy = taxonomy_of(real.store.manifest)
        task = Probe(
            StoreSource(real.url, ("image", "label") if taxonomy else ("image",)),
            self.config.backbone.reference,
            {name: str(folder) for name, folder in self.bases.items()},
            len(taxonomy) if taxonomy else 0,
            {unit.shard: unit.keys for unit in units},
            **self.for_model,
        )
        [curves] = tools.train(task, {"": WorkUnit(CURVES, ())})
        path.mkdir(parents=True, exist_ok=True)
        stored = {name: found.to_json() for name, found in curves.items()}
        (path / CURVES).write_text(json.dumps(stored, indent=1) + "\n")
        (path / CHART).write_text(curve_chart(curves))
        facts["images"] = {unit.shard: len(unit.keys) for unit in units}
        return described(curves)

    def curves(self) -> dict[str, Curves]:
        """The curves of each basis, that of the layouts first; the stage must be done."""
        from augment.layouts.curves import Curves

        stored = json.loads((self.path / CURVES).read_text())
        return {name: Curves.from_json(found) for name, found in stored.items()}

    def require_classes(self) -> None:
        """Check that there will be ks to recommend.

        Raises:
            UserError: training or held-out images have no labels, no held-out split is named, or the conditioning has
                no components.
        """
        images = self.job.images
        # A set without labels has no split to name either.
        if is_layout(self.config) and images.taxonomy is None:
            raise UserError(f"generate.ks=auto: the dataset has no labels to choose by: {_REMEDY}")
        self._require_in_run()
        for split in () if images.is_rendered else (TRAIN_SPLIT, held_out(self.job)):
            if all(record.label is None for record in images.candidates[split]):
                raise UserError(f"generate.ks=auto: no image of {split!r} has a label to choose by: {_REMEDY}")

    def recommended_ks(self) -> tuple[int, ...]:
        """The ks that `generate.ks=auto` means; the stage must be done.

        Raises:
            UserError: the run leaves the stage out, or no class was measured, because training or held-out images
                have no labels.
        """
        from augment.layouts.curves import recommended_ks

        self._require_in_run()
        used = next(iter(self.curves().values()))
        if used.points[0].miou is None:
            raise UserError(
                f"generate.ks=auto: no image of {TRAIN_SPLIT} or {held_out(self.job)} that was measured has labels to "
                f"choose by: {_REMEDY}"
            )
        return recommended_ks(used.points)

    def _require_in_run(self) -> None:
        if why := self.left_out(self.config):
            raise UserError(f"generate.ks=auto: {why}; or {_REMEDY}")

    def unit(self, split: str, limit: int) -> WorkUnit:
        """Keys of a split, spread over all of them.

        Raises:
            UserError: the split has no sample.
        """
        real = self.job.step(ShardStep)
        shards = keys_by_shard(real.store)
        keys = thinned([key for name, keys in shards.items() if split_of(name) == split for key in keys], limit)
        if not keys:
            raise UserError(f"{real.url} holds no sample of {split!r}: lumen quarantine says why")
        return WorkUnit(split, tuple(keys))


def measured_ks(num_components: int) -> list[int]:
    """The ks that are measured of a basis: all when there are few, fewer and fewer further on, and the last."""
    return sorted({*(k for k in KS if k < num_components), num_components})


def described(curves: Mapping[str, Curves]) -> str:
    """What the used basis keeps at the recommended ks, in a line."""
    from augment.layouts.curves import recommended_ks

    used = next(iter(curves.values()))
    if used.points[0].miou is None:
        return f"{', '.join(curves)}; no classes, because the images have no labels"
    points = {point.k: point for point in used.points}
    ks = recommended_ks(used.points)
    return "probe mIoU " + ", ".join(f"k={k} {100 * (points[k].miou or 0):.1f}" for k in ks)


@dataclass
class Probe:
    """Encodes images of two splits in several bases, and measures each basis.

    Attributes:
        source: images, with labels if there are any.
        backbone: to encode with.
        bases: folders by name.
        num_classes: classes of the labels; 0 without labels.
        keys: of the two splits, the one to fit on first.
    """

    source: StoreSource
    backbone: str
    bases: Mapping[str, str]
    num_classes: int
    keys: Mapping[str, tuple[str, ...]]
    device: str
    resources: Resources
    batch_size: int
    name: str = "probe"

    def setup(self) -> None:
        """Nothing that outlives the one unit."""

    def train(self, _unit: WorkUnit, on_step: OnStep) -> dict[str, Curves]:
        """The curves of each basis; a step is an image or one of its copies, encoded.

        Raises:
            UserError: an image of the store does not read, or the backbone is not the one of the bases.
        """
        import torch

        from augment.backbones import load_backbone
        from augment.layouts.basis import LayoutBasis
        from augment.layouts.curves import Encoder, measure
        from augment.stride import STRIDE

        model, fitting = load_backbone(self.backbone, self.device), FittingBatches(self.name, self.batch_size)
        bases = {name: LayoutBasis.load(Path(folder)) for name, folder in self.bases.items()}
        for basis in bases.values():
            require_revision(self.backbone, model.revision, basis.revision)

        def encode(images: NDArray[np.uint8]) -> torch.Tensor:
            nonlocal done
            features = fitting.run(list(images), lambda part: list(model.features(np.stack(part), STRIDE)))
            done += len(images)
            on_step(TrainingStep(done, total, {}, done / (time.monotonic() - started), noun="encoding"))
            return torch.stack(features)

        encoders = Encoder(encode, bases, changes=()), Encoder(encode, bases)
        total = sum(each.encodings * len(keys) for each, keys in zip(encoders, self.keys.values(), strict=True))
        done, started = 0, time.monotonic()
        train, found = (each.encoded(self.batches(split)) for each, split in zip(encoders, self.keys, strict=True))
        return {
            name: measure(train[name], found[name], measured_ks(basis.num_components), self.num_classes)
            for name, basis in bases.items()
        }

    def batches(self, split: str) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64], Sequence[int]]]:
        """Images, classes of their cells and seeds of a split, in batches.

        Raises:
            UserError: an image of the store does not read.
        """
        samples = self.source.images(WorkUnit(split, self.keys[split]))
        while batch := list(islice(samples, self.batch_size)):
            images = np.stack([sample.image for sample in batch if sample.image is not None])
            classes = np.stack([self.classes(sample) for sample in batch])
            yield images, classes, [stable_seed("change", sample.key) for sample in batch]

    def classes(self, sample: Sample) -> NDArray[np.int64]:
        """Classes `int64 [h, w]` of the sample's cells, -1 for all of them without a label."""
        from augment.layouts.probing import UNLABELLED, cell_classes
        from augment.stride import STRIDE

        assert sample.image is not None
        if sample.label is None or not self.num_classes:
            height, width = sample.image.shape[:2]
            return np.full((height // STRIDE, width // STRIDE), UNLABELLED, np.int64)
        return cell_classes(sample.label[None], self.num_classes)[0]
