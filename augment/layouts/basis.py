"""The components that neural layouts are written in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import torch
from safetensors.numpy import load_file, save_file

from augment.errors import NotFinite, UserError
from augment.layouts.standardization import standardized, standardized_pixels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from augment.layouts.moments import FeatureMoments, SceneMoments
    from augment.layouts.options import BasisKind

BASIS_FILE = "basis.safetensors"
BASIS_CONFIG = "basis.json"


@dataclass(frozen=True)
class LayoutBasis:
    """The components that neural layouts are written in.

    Attributes:
        mean: `float64 [C]`.
        components: `float64 [K, C]`, rows of unit length, the largest loading of each positive. Those of `pca` are
            orthogonal, by falling variance; those of `invariant` are not, see `fit_invariant`.
        eigenvalues: `float64 [C]` or `[K]`, variance of the fit data along each component.
        backbone: name of the backbone that gave the features.
        revision: its revision.
        count: feature vectors the basis was fitted on.
        kind: `pca` or `invariant`.
        standardized: whether images are standardised before they are encoded; see `standardized`.
        scale: `float64 [C]`, factors of the features of a fusion of backbones, which mean, components and eigenvalues
            are of; None leaves the features as they are.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]
    backbone: str
    revision: str
    count: int
    kind: BasisKind = "pca"
    standardized: bool = False
    scale: NDArray[np.float64] | None = None

    @classmethod
    def fit(
        cls, moments: FeatureMoments, num_components: int, backbone: str, revision: str, standardized: bool = False
    ) -> LayoutBasis:
        """Principal components of the data behind `moments`, by an eigendecomposition of its covariance.

        Args:
            moments: of the fit data.
            num_components: K.
            backbone, revision: of the features.
            standardized: whether the images were standardised.

        Raises:
            UserError: `num_components` is more than there are channels, or than vectors to fit on.
            NotFinite: the moments hold NaN or infinite values.
        """
        _require_enough(moments, num_components, backbone)
        values, vectors = np.linalg.eigh(moments.covariance)
        values, vectors = values[::-1].clip(min=0), vectors[:, ::-1].T[:num_components]
        components = _with_positive_sign(vectors)
        return cls(moments.mean, components, values, backbone, revision, moments.count, "pca", standardized)

    @classmethod
    def fit_invariant(
        cls,
        moments: SceneMoments,
        num_components: int,
        backbone: str,
        revision: str,
        standardized: bool = False,
        *,
        epsilon: float,
        without_position: bool = False,
    ) -> LayoutBasis:
        """Components that vary with what a place is, and not with how it looks.

        With S the covariance of the mean of each place over its views, and N the covariance of the views within a
        place, they are the generalised eigenvectors of

            S w = ratio (N + epsilon (tr S / C) I) w

        by falling ratio: Fisher's discriminant analysis where each place is a class of its own, with a ridge. So the
        first k components are the ones that change least under the photometric changes, for what they say of the
        scene. Without copies N is zero, and they are the principal components.

        Args:
            moments: of the fit data.
            num_components: K.
            backbone, revision: of the features.
            standardized: whether the images were standardised.
            epsilon: above 0; large values approach the principal components, small ones full invariance.
            without_position: also suppress what the position in the image explains.

        Raises:
            UserError: `num_components` is more than there are channels, or than vectors to fit on; or features vary
                so little that `epsilon` is too small.
            NotFinite: the moments hold NaN or infinite values.
        """
        _require_enough(moments.scene, num_components, backbone)
        scene, images = moments.scene.covariance, moments.images.covariance
        nuisance = moments.appearance + moments.position.explained if without_position else moments.appearance
        channels = len(scene)
        ridge = epsilon * np.trace(scene) / channels * np.eye(channels)
        chosen = channels - num_components, channels - 1
        try:
            _, vectors = scipy.linalg.eigh(scene, nuisance + ridge, subset_by_index=chosen)
        except np.linalg.LinAlgError as error:
            raise UserError(
                f"an invariant basis of {backbone!r} has no solution at epsilon = {epsilon:g}: its features vary in "
                "too few directions; give a larger epsilon, more images, or the kind pca"
            ) from error
        vectors = vectors[:, ::-1].T
        components = _with_positive_sign(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        variances = np.einsum("kc,cd,kd->k", components, images, components)
        mean, count = moments.images.mean, moments.images.count
        return cls(mean, components, variances, backbone, revision, count, "invariant", standardized)

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
        if self.standardized:
            digest.update(b"standardized")
        return digest.hexdigest()

    def prepare(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Images `uint8 [B, H, W, 3]` as the backbone encodes them for this basis."""
        return standardized(images) if self.standardized else images

    def prepare_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """The same of pixels `float [B, 3, H, W]` in 0..1; gradients flow."""
        return standardized_pixels(pixels) if self.standardized else pixels

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

    def explained_variance(self, k: int, moments: FeatureMoments) -> float:
        """Share (0..1) of the variance of the data behind `moments` that is linear in its first `k` components."""
        if self.scale is not None:
            moments = moments.scaled(self.scale)
        covariance, first = moments.covariance, self.components[:k]
        shared = first @ covariance
        return float(
            np.trace(np.linalg.pinv(shared @ first.T, hermitian=True) @ shared @ shared.T) / np.trace(covariance)
        )

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
            "kind": self.kind,
            "standardized": self.standardized,
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
        basis = cls(
            arrays["mean"],
            arrays["components"],
            arrays["eigenvalues"],
            facts["backbone"],
            facts["revision"],
            facts["count"],
            # The first bases recorded neither.
            facts.get("kind", "pca"),
            facts.get("standardized", False),
            arrays.get("scale"),
        )
        if basis.digest != facts["digest"]:
            raise UserError(f"{folder}: {BASIS_FILE} is not the one {BASIS_CONFIG} describes: restore or fit it again")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise NotFinite(f"{folder}: {BASIS_FILE} holds NaN or infinite values: fit the basis again")
        return basis


def _require_enough(moments: FeatureMoments, num_components: int, backbone: str) -> None:
    """Check that there is enough to fit on, and that it is finite.

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


def _with_positive_sign(components: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rows with the sign that makes the largest loading of each positive."""
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    return np.ascontiguousarray(components * signs[:, None])
