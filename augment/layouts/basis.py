"""The components that neural layouts are written in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from augment.errors import NotFinite, UserError
from augment.layouts.fusion import equal_variance_scale

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from augment.layouts.moments import FeatureMoments

BASIS_FILE = "basis.safetensors"
BASIS_CONFIG = "basis.json"


@dataclass(frozen=True)
class LayoutBasis:
    """The principal components that neural layouts are projected on.

    Attributes:
        mean: `float64 [C]`.
        components: `float64 [K, C]`, orthonormal rows, by descending variance; the largest loading of each is positive.
        eigenvalues: `float64 [C]`, all variances of the fit data, descending.
        backbone: name of the backbone that gave the features.
        revision: its revision.
        count: feature vectors the basis was fitted on.
        scale: `float64 [C]`, factors of the features of a fusion of backbones, which mean, components and eigenvalues
            are of; None leaves the features as they are.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]
    backbone: str
    revision: str
    count: int
    scale: NDArray[np.float64] | None = None

    @classmethod
    def fit(
        cls,
        moments: FeatureMoments,
        num_components: int,
        backbone: str,
        revision: str,
        groups: Sequence[int] = (),
    ) -> LayoutBasis:
        """Principal components of the data behind `moments`, by an eigendecomposition of its covariance.

        Args:
            moments: of the features.
            num_components: components to keep, K.
            backbone, revision: that gave the features.
            groups: channels of each backbone of a fusion, which are scaled to equal total variance first.

        Raises:
            UserError: `num_components` is more than there are channels, or than vectors to fit on.
            NotFinite: the moments hold NaN or infinite values.
        """
        channels = len(moments.mean)
        if not 0 < num_components <= min(channels, moments.count - 1):
            raise UserError(
                f"a layout basis of {num_components} components was requested, and {moments.count} feature vectors "
                f"with {channels} channels give 1..{min(channels, moments.count - 1)}"
            )
        if not (np.isfinite(moments.mean).all() and np.isfinite(moments.m2).all()):
            raise NotFinite(f"the moments of {backbone!r} are not finite: fit them on features that are")
        scale = equal_variance_scale(np.diag(moments.covariance), groups) if len(groups) > 1 else None
        if scale is not None:
            moments = moments.scaled(scale)
        values, vectors = np.linalg.eigh(moments.covariance)
        values, vectors = values[::-1].clip(min=0), vectors[:, ::-1].T[:num_components]
        largest = np.abs(vectors).argmax(axis=1)
        signs = np.sign(vectors[np.arange(num_components), largest])
        return cls(
            moments.mean,
            np.ascontiguousarray(vectors * signs[:, None]),
            values,
            backbone,
            revision,
            moments.count,
            scale,
        )

    @property
    def num_components(self) -> int:
        """Number of components K."""
        return len(self.components)

    @property
    def digest(self) -> str:
        """SHA-256 in hex over everything that a projection depends on."""
        digest = hashlib.sha256(f"{self.backbone}\0{self.revision}".encode())
        for array in self._arrays().values():
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """Project features `float [B, C, h, w]` on this basis, each component at unit variance on the fit data.

        Returns:
            The layout, `float32 [B, K, h, w]`, on the device of the features.

        Raises:
            UserError: features and basis differ in their number of channels.
        """
        if features.shape[1] != len(self.mean):
            raise UserError(
                f"features have {features.shape[1]} channels, the basis of {self.backbone!r} has {len(self.mean)}: "
                "extract with the backbone that the basis was fitted on"
            )
        scale = 1 / np.sqrt(np.maximum(self.eigenvalues[: self.num_components], 1e-12))
        weight = torch.from_numpy(self.components * scale[:, None])
        bias = (-weight @ torch.from_numpy(self.mean)).float().to(features.device)
        if self.scale is not None:
            weight = weight * torch.from_numpy(self.scale)
        weight = weight.float().to(features.device)
        return torch.einsum("kc,bchw->bkhw", weight, features.float()) + bias.view(1, -1, 1, 1)

    def explained_variance(self, k: int, moments: FeatureMoments | None = None) -> float:
        """Share (0..1) of the variance that the first `k` components hold, on the fit data or on other `moments`."""
        if moments is None:
            return float(self.eigenvalues[:k].sum() / self.eigenvalues.sum())
        if self.scale is not None:
            moments = moments.scaled(self.scale)
        first = self.components[:k]
        return float(np.trace(first @ moments.covariance @ first.T) / np.trace(moments.covariance))

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        arrays = {"mean": self.mean, "components": self.components, "eigenvalues": self.eigenvalues}
        return arrays if self.scale is None else {**arrays, "scale": self.scale}

    def save(self, folder: Path) -> None:
        """Write the basis to `folder` as safetensors and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self._arrays(), folder / BASIS_FILE)
        facts = {
            "backbone": self.backbone,
            "revision": self.revision,
            "count": self.count,
            "num_components": self.num_components,
            "digest": self.digest,
        }
        (folder / BASIS_CONFIG).write_text(json.dumps(facts, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> LayoutBasis:
        """Read a basis that `save` wrote.

        Raises:
            UserError: `folder` holds no basis, a changed one, or NaN or infinite values.
        """
        if not (folder / BASIS_CONFIG).is_file():
            raise UserError(
                f"{folder}: no {BASIS_CONFIG}: give a folder with a layout basis, such as adapter/basis of a workspace"
            )
        facts = json.loads((folder / BASIS_CONFIG).read_text())
        arrays = load_file(folder / BASIS_FILE)
        basis = cls(**arrays, backbone=facts["backbone"], revision=facts["revision"], count=facts["count"])
        if basis.digest != facts["digest"]:
            raise UserError(f"{folder}: {BASIS_FILE} is not the one {BASIS_CONFIG} describes: restore or fit it again")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise NotFinite(f"{folder}: {BASIS_FILE} holds NaN or infinite values: fit the basis again")
        return basis
