"""From the real store to neural layouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from augment.errors import UserError
from pipeline.config import TRAIN_SPLIT, Config
from pipeline.engine import Source, Stage
from pipeline.stages import extract, fit
from pipeline.stages.adapt import BASIS
from pipeline.stages.reading import StoreSource, keys_by_shard
from pipeline.stages.steps import ArtifactStep, Step, StorePlan, StoreStep, Tools, resources_of
from pipeline.stages.workflow_data import RealData
from pipeline.store import JSON, Manifest, Store
from pipeline.store.manifest import LAYOUTS
from pipeline.workspace.artifact import Artifact
from pipeline.workspace.model_files import adapter_components, adapter_folder, basis_digest, identity, require_fit
from pipeline.workspace.workspace import Workspace, content_digest

if TYPE_CHECKING:
    from augment.layout_basis import FeatureMoments, LayoutBasis

# Inside the basis artifact: the basis that layouts are written in, and the one fitted on this dataset.
USED, OWN = "layouts", "own"


@dataclass
class Layouts:
    """Plans the stages fit and extract of one run."""

    config: Config
    workspace: Workspace

    @cached_property
    def data(self) -> RealData:
        """The real images."""
        return RealData(self.config, self.workspace)

    def steps(self) -> list[Step]:
        """The stages in order."""
        space = self.workspace
        return [
            ArtifactStep(
                "fit",
                space.basis,
                self.basis,
                self.build_basis,
                reads=("shard",),
                shared=lambda: self.data.shards_of(self.data.counts()[TRAIN_SPLIT]),
            ),
            StoreStep(
                "extract",
                space.layouts,
                self.plan_extract,
                self.extract_work,
                self.data.size,
                reads=("shard", "fit"),
            ),
        ]

    def check(self) -> None:
        """Look at what comes from outside, before anything is written.

        Raises:
            UserError: the adapter is missing or does not fit.
        """
        self.adapter_basis_digest()

    @property
    def real(self) -> Store:
        """The real store."""
        return self.data.store

    @property
    def store(self) -> Store:
        """The layout store."""
        return Store.open(self.workspace.layouts)

    def start_adapter(self) -> Path | None:
        """Folder of the adapter to start from, if any; checked against what the layouts will be.

        Raises:
            UserError: there is none where one is named, it reads another number of components than k_max, or it is of
            another base model.
        """
        if self.config.generator.adapter is None:
            return None
        folder = adapter_folder(self.config.generator.adapter)
        if (components := adapter_components(folder)) != self.config.layout.k_max:
            k_max = self.config.layout.k_max
            raise UserError(
                f"layout.k_max={k_max}: the adapter in {folder} reads {components} components; "
                f"set layout.k_max={components}, or train a new one with generator.adapter=null"
            )
        require_fit(folder, self.config.generator.base)
        return folder

    def adapter_basis_digest(self) -> str | None:
        """Digest of the basis that `adapter_basis` names."""
        folder = self.adapter_basis()
        return basis_digest(folder) if folder else None

    def adapter_basis(self) -> Path | None:
        """Folder of the starting adapter's own basis, where layouts are to be written in that."""
        folder = self.start_adapter()
        return folder / BASIS if folder and self.config.layout.basis == "adapter" else None

    def basis(self) -> Artifact:
        """The dataset's own basis, and the one that layouts are written in."""
        inputs: dict[str, JSON] = {
            "real": content_digest(self.real),
            "split": TRAIN_SPLIT,
            "backbone": identity(self.config.backbone.name),
            "k_max": self.config.layout.k_max,
            "adapter_basis": self.adapter_basis_digest(),
        }
        return Artifact(self.workspace.basis, "basis", inputs)

    def build_basis(self, folder: Path, tools: Tools, facts: dict[str, JSON]) -> str:
        """Fit the dataset's basis from moments merged in plan order, whatever order they came in."""
        from augment.layout_basis import FeatureMoments, LayoutBasis

        settings = resources_of(self.config, "fit")
        task = fit.FitMoments(
            StoreSource(self.workspace.real, ("image",)), self.config.backbone.name, **settings.of_model
        )
        units = fit.plan(keys_by_shard(self.real))
        if not any(unit.keys for unit in units):
            raise UserError(f"{self.workspace.real} holds no sample of {TRAIN_SPLIT!r}: lumen quarantine says why")
        found = {unit.shard: result for unit, result in tools.executor.map(task, units)}
        parts = [found[unit.shard] for unit in units]
        moments = FeatureMoments.merged(part.moments for part in parts)
        own = LayoutBasis.fit(moments, self.config.layout.k_max, self.config.backbone.name, parts[0].revision)
        adapter_basis = self.adapter_basis()
        used = LayoutBasis.load(adapter_basis) if adapter_basis else own
        if used.revision != own.revision:
            raise UserError(
                f"backbone.name={own.backbone}: the adapter's basis was fitted on {used.backbone!r}, another "
                f"revision ({used.revision[:8]}, not {own.revision[:8]}); use that, or layout.basis=own"
            )
        own.save(folder / OWN)
        used.save(folder / USED)
        facts |= basis_facts(own, used, moments)
        return f"{moments.count} feature vectors; {facts['summary']}"

    def plan_extract(self) -> StorePlan:
        """The layout store: the shards of the real store once more."""
        inputs: dict[str, JSON] = {
            "real": content_digest(self.real),
            "backbone": identity(self.config.backbone.name),
            "basis": basis_digest(self.workspace.basis / USED),
            "k_max": self.config.layout.k_max,
        }
        manifest = Manifest(LAYOUTS, None, self.data.geometry, inputs)
        return StorePlan(manifest, sorted(self.real.done()), lambda: extract.plan(keys_by_shard(self.real)))

    def extract_work(self) -> tuple[Stage, Source]:
        """Stage and source of extract."""
        stage = extract.Extract(
            self.config.backbone.name,
            str(self.workspace.basis / USED),
            self.config.layout.k_max,
            **resources_of(self.config, "extract").of_model,
        )
        return stage, StoreSource(self.workspace.real, ("image",))


def basis_facts(own: LayoutBasis, used: LayoutBasis, moments: FeatureMoments) -> dict[str, JSON]:
    """Variance of this dataset that the first k components explain, of its own basis and of the one used."""
    ks = sorted({1, 5, 10, own.num_components} & set(range(1, own.num_components + 1)))
    explained: Mapping[str, JSON] = {
        name: {str(k): round(basis.explained_variance(k, moments), 4) for k in ks}
        for name, basis in (("own", own), ("used", used))
    }
    shares = [f"k={k} {used.explained_variance(k, moments):.0%}" for k in ks]
    return {
        "used": "own" if used is own else "adapter",
        "backbone": used.backbone,
        "revision": used.revision,
        "digest": {"own": own.digest, "used": used.digest},
        "explained_variance": explained,
        "summary": "variance explained: " + ", ".join(shares),
    }
