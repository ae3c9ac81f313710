"""Where the results of a run lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.store.canonical import fingerprint

if TYPE_CHECKING:
    from pipeline.store.store import Store


@dataclass(frozen=True)
class Workspace:
    """The paths below a run's folder."""

    root: Path

    @property
    def config(self) -> Path:
        """The resolved configuration of the last run."""
        return self.root / "config.yaml"

    @property
    def scenes(self) -> Path:
        """Rendered scenes, where the dataset is rendered."""
        return self.root / "scenes"

    @property
    def real(self) -> Path:
        """Store of real images and labels at the working size."""
        return self.root / "real"

    @property
    def basis(self) -> Path:
        """Artifact: this dataset's own basis, and the one that layouts are written in."""
        return self.root / "basis"

    @property
    def layouts(self) -> Path:
        """Store of neural layouts at k_max."""
        return self.root / "layouts"

    @property
    def adapter(self) -> Path:
        """Artifact: the adapter that images are generated with, its basis inside."""
        return self.root / "adapter"

    @property
    def synthetic(self) -> Path:
        """Store of synthetic images with their sources' labels."""
        return self.root / "synthetic"

    @property
    def judge(self) -> Path:
        """Artifact: the segmenter trained on real data alone."""
        return self.root / "judge"

    @property
    def scale(self) -> Path:
        """Artifact: what loss is usual for each class on real data."""
        return self.root / "scale"

    @property
    def curated(self) -> Path:
        """Store of synthetic samples that the judge believes."""
        return self.root / "curated"

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


def content_digest(store: Store) -> str:
    """Sha256 over a store's fingerprint and the names and bytes of its committed shards."""
    shards: dict[str, str] = {receipt.shard: receipt.sha256 for receipt in store.receipts()}
    return fingerprint({"fingerprint": store.manifest.fingerprint, "shards": shards})
