"""probe: what the first k components of the layouts keep of a scene, and what of its appearance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from augment.errors import UserError
from augment.options import Options, Positive
from pipeline.datasets import TRAIN_SPLIT
from pipeline.datasets.thinning import thinned
from pipeline.engine import WorkUnit
from pipeline.stages.artifact_step import ArtifactStep
from pipeline.stages.conditioning import is_layout
from pipeline.stages.fit import BASES, FitStep, require_reachable_backbone
from pipeline.stages.layout_readers import FitReaders, MeasureLayouts
from pipeline.stages.reading import StoreSource, keys_by_shard, split_of
from pipeline.stages.shard import ShardStep
from pipeline.stages.tools import Tools
from pipeline.stages.trainings import held_out
from pipeline.store import JSON, taxonomy_of
from pipeline.workspace.content import content_digest
from pipeline.workspace.model_files import backbone_identity, basis_digest

if TYPE_CHECKING:
    from augment.layouts.curves import Curves
    from pipeline.config import Config

# Files of the artifact: the curves by the name of the basis, and their chart.
CURVES, CHART = "curves.json", "curves.svg"
# Held-out images of a unit. Sums add up in the order of the units, so it does not depend on the workers.
IMAGES_A_UNIT = 10
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

    def parts(self) -> int:
        """The slices of the held-out images."""
        count = min(self.job.images.counts()[held_out(self.job)], self.config.probe.held_out_images)
        return -(-count // IMAGES_A_UNIT)

    def build(self, path: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Measure all bases on the same images: the readers in one worker, what they read in as many as there are."""
        from augment.layouts.basis import LayoutBasis
        from augment.layouts.curve_chart import curve_chart
        from augment.layouts.measuring import curves_of, merged_sums

        real, options = self.job.step(ShardStep), self.config.probe
        fitted_on = self.unit(TRAIN_SPLIT, options.train_images)
        measured_on = self.unit(held_out(self.job), options.held_out_images)
        parts = slices(measured_on, IMAGES_A_UNIT)
        taxonomy = taxonomy_of(real.store.manifest)
        task: dict[str, Any] = {
            "source": StoreSource(real.url, ("image", "label") if taxonomy else ("image",)),
            "backbone": self.config.backbone.reference,
            "bases": {name: str(folder) for name, folder in self.bases.items()},
            "num_classes": len(taxonomy) if taxonomy else 0,
            **self.for_model,
        }
        bases = {name: LayoutBasis.load(folder) for name, folder in self.bases.items()}
        ks = {name: measured_ks(basis.num_components) for name, basis in bases.items()}
        [readers] = tools.count(FitReaders(**task, ks=ks), [fitted_on], len(fitted_on.keys), "image")
        measuring = MeasureLayouts(**task, readers=readers)
        sums = merged_sums(tools.count(measuring, parts, len(measured_on.keys), "image"))
        curves = {name: curves_of(basis, readers[name], sums[name], ks[name]) for name, basis in bases.items()}
        path.mkdir(parents=True, exist_ok=True)
        stored = {name: found.to_json() for name, found in curves.items()}
        (path / CURVES).write_text(json.dumps(stored, indent=1) + "\n")
        (path / CHART).write_text(curve_chart(curves))
        facts["images"] = {unit.shard: len(unit.keys) for unit in (fitted_on, measured_on)}
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


def slices(unit: WorkUnit, size: int) -> list[WorkUnit]:
    """Units of at most `size` keys each, with the keys of one in their order."""
    starts = range(0, len(unit.keys), size)
    return [WorkUnit(f"{unit.shard} from {start}", unit.keys[start : start + size]) for start in starts]


def described(curves: Mapping[str, Curves]) -> str:
    """What the used basis keeps at the recommended ks, in a line."""
    from augment.layouts.curves import recommended_ks

    used = next(iter(curves.values()))
    if used.points[0].miou is None:
        return f"{', '.join(curves)}; no classes, because the images have no labels"
    points = {point.k: point for point in used.points}
    ks = recommended_ks(used.points)
    return "probe mIoU " + ", ".join(f"k={k} {100 * (points[k].miou or 0):.1f}" for k in ks)
