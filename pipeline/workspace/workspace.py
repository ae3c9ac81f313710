"""Where the results of a run lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from augment.errors import UserError
from pipeline.config.compose import KEPT_CONFIG
from pipeline.store.canonical import fingerprint

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.store.store import Store


@dataclass(frozen=True)
class Workspace:
    """Where a run's artifacts and stores lie.

    Attributes:
        root: folder of the artifacts.
        store_root: URL under which the stores lie; None is in the folder.
    """

    root: Path
    store_root: str | None = None

    @classmethod
    def of(cls, config: Config) -> Workspace:
        """The workspace of a run."""
        return cls(config.workspace, config.stores)

    @classmethod
    def at(cls, root: Path) -> Workspace:
        """The workspace in a folder, its stores where the last run put them."""
        return cls(root, kept_config(cls(root).config).get("stores"))

    @property
    def config(self) -> Path:
        """The resolved configuration of the last run."""
        return self.root / KEPT_CONFIG

    @property
    def scenes(self) -> Path:
        """Rendered scenes, where the dataset is rendered."""
        return self.root / "scenes"

    @property
    def stores(self) -> dict[str, str]:
        """URLs of all stores by name, whether they are there or not."""
        names = ("real", "layouts", "captions", "synthetic", "curated")
        return {name: self._store(name) for name in names}

    @property
    def real(self) -> str:
        """Store of real images and labels at the working size."""
        return self._store("real")

    @property
    def classes(self) -> Path:
        """Artifact: pixels of each class in the dataset's images, where they are sampled by class."""
        return self.root / "classes.parquet"

    @property
    def source_classes(self) -> Path:
        """Artifact: the same of the real store's images, where sources are sampled by class."""
        return self.root / "source_classes.parquet"

    @property
    def basis(self) -> Path:
        """Artifact: this dataset's own basis, and the one that layouts are written in."""
        return self.root / "basis"

    @property
    def layouts(self) -> str:
        """Store of neural layouts at k_max."""
        return self._store("layouts")

    @property
    def captions(self) -> str:
        """Store of captions by a model, where the configuration names one."""
        return self._store("captions")

    @property
    def adapter(self) -> Path:
        """Artifact: the adapter that images are generated with, its basis inside."""
        return self.root / "adapter"

    @property
    def synthetic(self) -> str:
        """Store of synthetic images with their sources' labels."""
        return self._store("synthetic")

    @property
    def judge(self) -> Path:
        """Artifact: the segmenter trained on real data alone."""
        return self.root / "judge"

    @property
    def scale(self) -> Path:
        """Artifact: what loss is usual for each class on real data."""
        return self.root / "scale"

    @property
    def curated(self) -> str:
        """Store of synthetic samples that the judge believes."""
        return self._store("curated")

    @property
    def runs(self) -> Path:
        """Folder of trainings of the comparison, one folder each."""
        return self.root / "runs"

    @property
    def comparison(self) -> Path:
        """Artifact: the table of what each mix led to."""
        return self.root / "comparison.parquet"

    @property
    def evaluation(self) -> Path:
        """Artifact: the table of alignment and diversity by k."""
        return self.root / "evaluation.parquet"

    @property
    def report(self) -> Path:
        """Artifact: the folder of the HTML report."""
        return self.root / "report"

    @property
    def artifacts(self) -> list[Path]:
        """Artifacts that nothing but a run writes, whether they are there or not; anybody may write the report anew."""
        tables = [self.classes, self.source_classes, self.comparison, self.evaluation]
        return [self.scenes, self.basis, self.adapter, self.judge, self.scale, *tables]

    def _store(self, name: str) -> str:
        return f"{self.store_root or self.root}/{name}"


def kept_config(path: Path) -> dict[str, Any]:
    """What a run has kept of its configuration; nothing where there is no file.

    Raises:
        UserError: it is damaged.
    """
    if not path.is_file():
        return {}
    try:
        kept = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    if not isinstance(kept, dict):
        raise UserError(f"{path} is damaged: it holds no configuration; give the run's own command again")
    return {str(key): value for key, value in kept.items()}


def content_digest(store: Store) -> str:
    """Sha256 over a store's fingerprint and the names and bytes of its committed shards."""
    table = store.receipt_table(["sha256"])
    shards: dict[str, str] = dict(zip(table["shard"].to_pylist(), table["sha256"].to_pylist(), strict=True))
    return fingerprint({"fingerprint": store.manifest.fingerprint, "shards": shards})
