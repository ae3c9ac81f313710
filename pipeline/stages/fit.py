"""fit: the basis of neural layouts, from the backbone's features over the training split."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from augment.backbones import OFFLINE_DINOV2
from augment.backbones.options import parse_name, split_fusion
from augment.errors import NotFinite, UserError
from augment.import_path import is_import_path
from augment.layouts.options import INVARIANT_ONLY, BasisOptions
from augment.lumen import zoo
from augment.options import Positive
from augment.progress import TrainingStep
from augment.stride import STRIDE
from pipeline.checks.hub import require_reachable
from pipeline.checks.models import BACKBONE, require_backbone, require_basis_fits
from pipeline.datasets import TRAIN_SPLIT
from pipeline.datasets.thinning import thinned
from pipeline.engine import FittingBatches, Resources, WorkUnit
from pipeline.engine.overlap import ordered, read_ahead
from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.conditioning import is_layout
from pipeline.stages.generator import adapter_basis, adapter_basis_digest
from pipeline.stages.reading import StoreSource, keys_by_shard, split_of
from pipeline.stages.seeds import stable_seed
from pipeline.stages.shard import ShardStep
from pipeline.stages.step import Step, contents_of
from pipeline.stages.tools import Tools
from pipeline.store import JSON
from pipeline.store.layout_format import LayoutFormat
from pipeline.workspace.artifact import verify_artifact
from pipeline.workspace.content import content_digest
from pipeline.workspace.mismatch import content_of
from pipeline.workspace.model_files import backbone_identity, basis_digest
from pipeline.workspace.workspace import Workspace

if TYPE_CHECKING:
    import torch

    from augment.backbones import Backbone
    from augment.layouts.basis import LayoutBasis
    from augment.layouts.moments import FeatureMoments, SceneMoments
    from augment.progress import OnStep
    from pipeline.config import Config

# Folders in the artifact: the basis of the layouts, the one fitted on this dataset, and its principal components.
BASES = USED, OWN, PCA = "layouts", "own", "pca"

# How versions without these options fitted a basis; inputs that they recorded do not name it.
_EARLIER_FITTING: dict[str, JSON] = {"basis_kind": "pca", "standardize": False, "fit_images": None}


class LayoutOptions(BasisOptions):
    """The neural layout."""

    k_max: int = Field(default=24, ge=1, le=128, description="components stored; every k used is at most this")
    basis: Literal["adapter", "own"] = Field(
        default="adapter", description="the basis the adapter was trained with, or this dataset's own"
    )
    fit_images: Positive | None = Field(
        default=1000, description="images that the dataset's own basis is fitted on, spread over all; null uses all"
    )
    views: int = Field(
        default=0,
        ge=0,
        le=16,
        description="layouts of photometric copies stored for each training image, for adapt.view_share",
    )
    storage: LayoutFormat = Field(
        default="float16",
        description="format of stored layouts; uint8 takes half the space, mean error 0.005 standard deviations",
    )

    def fitting(self) -> dict[str, JSON]:
        """The options that the dataset's own basis depends on, but for `k_max`."""
        unused = INVARIANT_ONLY if self.basis_kind == "pca" else set()
        return self.model_dump(mode="json", include={*BasisOptions.model_fields, "fit_images"} - unused)


class FitStep(ArtifactStep):
    """Makes the dataset's own basis, and keeps the one that layouts are written in."""

    name = "fit"
    output = "basis"
    title = "the basis"
    kind = "basis"
    lineage = ("basis",)
    reads = ("shard",)
    input_names: ClassVar[Mapping[str, str]] = {
        **contents_of(ShardStep),
        "backbone.digest": content_of("the files of backbone.name"),
        "k_max": "layout.k_max",
        "fitting": "layout",
        "adapter_basis": content_of("the basis of generator.adapter"),
    }

    @classmethod
    def left_out(cls, config: Config) -> str:
        """See `Step.left_out`."""
        return "" if is_layout(config) else f"conditioning={config.conditioning} has no basis to fit; layout has one"

    @classmethod
    def digest_in(cls, workspace: Workspace) -> JSON | None:
        """The digest of the basis that layouts are written in, and not of the whole artifact; None if damaged."""
        path = cls.path_in(workspace)
        return basis_digest(path / USED) if (path / USED).is_dir() and not verify_artifact(path)[1] else None

    @property
    def used(self) -> Path:
        """Folder of the basis that layouts are written in."""
        return self.path / USED

    def check_settings(self) -> None:
        """Check that the adapter to start from fits."""
        adapter_basis_digest(self.config)

    def check_models(self) -> None:
        """Check that the backbone exists and fits the adapter's basis."""
        name = self.config.backbone.reference
        channels = require_reachable_backbone(name)
        if basis := adapter_basis(self.config):
            require_basis_fits(basis, name, channels)
        if channels is not None and channels < (k_max := self.config.layout.k_max):
            raise UserError(f"layout.k_max={k_max}: backbone.name={name} has {channels} channels; give at most that")

    def check(self, left: Sequence[Step]) -> list[str]:  # noqa: ARG002 - see `Step`
        """Remark on options of a basis that layouts are not written in."""
        options = self.config.layout
        if adapter_basis(self.config) is None or options.fitting() == LayoutOptions().fitting():
            return []
        return [
            "layout: the options of the dataset's own basis change no layout, because layouts are written in that of "
            "generator.adapter; layout.basis=own with adapt.steps uses its own"
        ]

    def parts(self) -> int:
        """The shards of the training split."""
        return self.job.images.shards_of(self.job.images.counts()[TRAIN_SPLIT])

    def inputs(self) -> Mapping[str, JSON]:
        """What the basis depends on."""
        inputs: dict[str, JSON] = {
            "real": content_digest(self.job.step(ShardStep).store),
            "split": TRAIN_SPLIT,
            "backbone": backbone_identity(self.config.backbone.reference),
            "k_max": self.config.layout.k_max,
            "adapter_basis": adapter_basis_digest(self.config),
        }
        # Layouts do not depend on the dataset's own basis where they are written in the adapter's.
        if inputs["adapter_basis"] is None and (fitting := self.config.layout.fitting()) != _EARLIER_FITTING:
            inputs["fitting"] = fitting
        return inputs

    def build(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Fit the basis from moments merged in plan order, whatever order they came in."""
        from augment.layouts.basis import LayoutBasis
        from augment.layouts.fitting import fit_basis
        from augment.layouts.moments import SceneMoments

        real, options, backbone = self.job.step(ShardStep), self.config.layout, self.config.backbone.reference
        task = FitMoments(StoreSource(real.url, ("image",)), backbone, options, **self.for_model)
        units = fitting_units(training_units(keys_by_shard(real.store)), options.fit_images)
        if not units:
            raise UserError(f"{real.url} holds no sample of {TRAIN_SPLIT!r}: lumen quarantine says why")
        parts = tools.count(task, units, sum(len(unit.keys) for unit in units), "image")
        moments = SceneMoments.merged(part.moments for part in parts)
        if len(revisions := {part.revision for part in parts}) > 1:
            raise UserError(
                f"backbone.name={backbone}: the workers have {len(revisions)} revisions of it: give all the same files"
            )
        # The principal components are there to compare with.
        kinds = {OWN: options, PCA: options.model_copy(update={"basis_kind": "pca"})}
        fitted = {
            name: fit_basis(moments, options.k_max, backbone, parts[0].revision, kind, parts[0].groups)
            for name, kind in kinds.items()
        }
        own = fitted[OWN]
        of_adapter = adapter_basis(self.config)
        used = LayoutBasis.load(of_adapter) if of_adapter else own
        if used.revision != own.revision:
            raise UserError(
                f"backbone.name={own.backbone}: the adapter's basis was fitted on {used.backbone!r}, another "
                f"revision ({used.revision[:8]}, not {own.revision[:8]}); use that, or layout.basis=own"
            )
        for name, basis in {**fitted, USED: used}.items():
            basis.save(path / name)
        facts |= basis_facts(own, used, moments.images)
        return f"{moments.images.count} feature vectors; {facts['summary']}"


def require_reachable_backbone(reference: str) -> int | None:
    """Check that a backbone exists and gives features of images; returns its channels, None if not known yet.

    Args:
        reference: see `BackboneOptions.reference`.

    Raises:
        UserError: it is nowhere, or another sort of model.
    """
    for name, _ in map(parse_name, split_fusion(reference)):
        if not is_import_path(name):
            require_reachable(BACKBONE, name, "config.json", [OFFLINE_DINOV2, *zoo.names()], "model_index.json")
    return require_backbone(reference)


def require_revision(backbone: str, found: str, fitted: str) -> None:
    """Check in a worker that its backbone has the revision that a basis was fitted on.

    Raises:
        UserError: it has another one.
    """
    if found != fitted:
        raise UserError(
            f"backbone.name={backbone}: this machine has revision {found[:8]}, and the basis was fitted on "
            f"{fitted[:8]}: give every machine the same files, or --redo fit"
        )


def basis_facts(own: LayoutBasis, used: LayoutBasis, moments: FeatureMoments) -> dict[str, JSON]:
    """Variance of this dataset that the first k components explain, of its own basis and of the one used.

    The latter is left out where it takes images prepared in another way than those that the moments are of.
    """
    ks = sorted({1, 5, 10, own.num_components} & set(range(1, own.num_components + 1)))
    explained: Mapping[str, JSON] = {
        name: {str(k): round(basis.explained_variance(k, moments), 4) for k in ks}
        for name, basis in (("own", own), ("used", used))
        if basis.standardized == own.standardized
    }
    shares = [f"k={k} {own.explained_variance(k, moments):.0%}" for k in ks]
    return {
        "used": "own" if used is own else "adapter",
        "backbone": used.backbone,
        "revision": used.revision,
        "digest": {"own": own.digest, "used": used.digest},
        "explained_variance": explained,
        "summary": "variance explained by the dataset's own basis: " + ", ".join(shares),
    }


@dataclass(frozen=True)
class UnitMoments:
    """Moments of the features of one shard, the revision of the backbone they are of, and the channels of each part."""

    moments: SceneMoments
    revision: str
    groups: tuple[int, ...]


def training_units(shards: Mapping[str, tuple[str, ...]]) -> list[WorkUnit]:
    """One unit for each non-empty shard of the training split."""
    return [WorkUnit(name, keys) for name, keys in shards.items() if split_of(name) == TRAIN_SPLIT and keys]


def fitting_units(units: Sequence[WorkUnit], limit: int | None) -> list[WorkUnit]:
    """The units with at most `limit` of their keys in all, spread evenly over them; those left without are dropped."""
    kept = set(thinned([key for unit in units for key in unit.keys], limit))
    fewer = [WorkUnit(unit.shard, tuple(key for key in unit.keys if key in kept)) for unit in units]
    return [unit for unit in fewer if unit.keys]


@dataclass
class FitMoments:
    """Accumulates the moments of the features of one shard's images and of their photometric copies."""

    source: StoreSource
    backbone: str
    options: BasisOptions
    device: str
    resources: Resources
    batch_size: int
    name: str = "fit"
    _model: Backbone | None = field(default=None, repr=False)
    _batches: FittingBatches | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load the backbone."""
        from augment.backbones import load_backbone

        self._model = load_backbone(self.backbone, self.device)
        self._batches = FittingBatches(self.name, self.batch_size)

    def train(self, unit: WorkUnit, on_step: OnStep) -> UnitMoments:
        """Moments of the unit's images, batch by batch in their order; a step is an image.

        Raises:
            UserError: an image of the store does not read, or its features are not finite.
        """
        from augment.layouts.fitting import moments_of_views
        from augment.layouts.moments import SceneMoments

        assert self._model is not None
        parts: list[SceneMoments] = []
        done, started = 0, time.monotonic()
        threads = max(2, int(self.resources.num_cpus))
        # The next images are read, decoded and copied while the model computes.
        with (
            ThreadPoolExecutor(threads, "copy") as pool,
            read_ahead(ordered(pool, self.views, self.batches(unit), threads + 1), depth=1) as batches,
        ):
            for views in batches:
                try:
                    parts.append(moments_of_views(views, self.features))
                except NotFinite as error:
                    raise UserError(f"backbone.name={self.backbone}: of images in {unit.shard}, {error}") from error
                done += len(views[0])
                on_step(TrainingStep(done, len(unit.keys), {}, done / (time.monotonic() - started), noun="image"))
        groups = getattr(self._model, "channel_groups", (self._model.channels,))
        return UnitMoments(SceneMoments.merged(parts), self._model.revision, groups)

    def views(self, batch: tuple[list[str], np.ndarray]) -> list[np.ndarray]:
        """The images of a batch and their photometric copies, each `uint8 [B, H, W, 3]`; the keys seed the copies."""
        from augment.layouts.fitting import scene_views

        keys, images = batch
        seeds = [[stable_seed("copy", key, index) for index in range(self.options.copies)] for key in keys]
        return list(scene_views(images, seeds, self.options))

    def features(self, images: np.ndarray) -> torch.Tensor:
        """Features `float32 [B, C, H / 8, W / 8]` of images `uint8 [B, H, W, 3]`, in batches that fit into memory."""
        import torch

        assert self._model is not None and self._batches is not None
        model = self._model
        return torch.stack(self._batches.run(list(images), lambda part: list(model.features(np.stack(part), STRIDE))))

    def batches(self, unit: WorkUnit) -> Iterator[tuple[list[str], np.ndarray]]:
        """The unit's keys and images `uint8 [B, H, W, 3]`, in batches.

        Raises:
            UserError: an image of the store does not read.
        """
        samples = self.source.images(unit)
        while batch := list(islice(samples, self.batch_size)):
            images = [sample.image for sample in batch if sample.image is not None]
            yield [sample.key for sample in batch], np.stack(images)
