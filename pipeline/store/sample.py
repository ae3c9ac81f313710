"""One sample of a store, and the record of one that was not written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline.store.canonical import JSON
from pipeline.store.errors import InvalidSample

KEY = re.compile(r"[A-Za-z0-9_-]+")
RESERVED_METADATA = frozenset({"key", "shard"})
# Metadata that is False for an image without a label among labelled ones, so that `verify` does not expect one.
LABELLED = "labelled"


@dataclass(frozen=True, eq=False)
class Sample:
    """An image, its label, instances, neural layout, views, latents, text and metadata; each array may be absent.

    ``image`` is uint8 [H, W, 3] RGB, ``label`` uint8 or uint16 [H, W] of train ids (255 = ignored),
    ``layout`` float16 [K, h, w], ``instances`` uint16 [H, W] with 0 where there is no object, ``views`` float16
    [V, K, h, w] the layouts of photometric copies of the image, ``latents`` float16 [C, h, w] what a diffusion model
    encodes the image into, ``text`` the embeddings of a caption, float16 or float32 arrays by name, any shape.
    ``key`` uses letters, digits, ``_`` and ``-`` only.
    Scalar metadata becomes columns of the index, so the names ``key`` and ``shard`` and names with a colon are
    reserved. Raises InvalidSample.
    """

    key: str
    image: npt.NDArray[np.uint8] | None = None
    label: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None = None
    layout: npt.NDArray[np.float16] | None = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    instances: npt.NDArray[np.uint16] | None = None
    views: npt.NDArray[np.float16] | None = None
    latents: npt.NDArray[np.float16] | None = None
    text: Mapping[str, npt.NDArray[np.floating]] | None = None

    def __post_init__(self) -> None:
        if not KEY.fullmatch(self.key):
            raise InvalidSample(f"bad key: {self.key!r} has characters other than letters, digits, _ and -")
        if self.image is not None:
            self._check("image", self.image, ("uint8",), 3)
            if self.image.shape[2] != 3:
                raise InvalidSample(f"bad image: shape {self.image.shape}, expected [H, W, 3]")
        if self.label is not None:
            self._check("label", self.label, ("uint8", "uint16"), 2)
        if self.layout is not None:
            self._check("layout", self.layout, ("float16",), 3)
        if self.views is not None:
            self._check("views", self.views, ("float16",), 4)
            if self.layout is not None and self.views.shape[1:] != self.layout.shape:
                raise InvalidSample(f"size mismatch: layout {self.layout.shape}, views {self.views.shape[1:]} each")
        if self.instances is not None:
            self._check("instances", self.instances, ("uint16",), 2)
        if self.latents is not None:
            self._check("latents", self.latents, ("float16",), 3)
        for name, array in (self.text or {}).items():
            self._check(f"text.{name}", array, ("float16", "float32"), array.ndim)
        sizes = {name: array.shape[:2] for name, array in self.planes.items()}
        if len(set(sizes.values())) > 1:
            raise InvalidSample(f"size mismatch: {', '.join(f'{name} {size}' for name, size in sizes.items())}")
        for name in self.metadata:
            if not isinstance(name, str) or ":" in name or name in RESERVED_METADATA:
                raise InvalidSample(f"bad metadata name: {name!r} is reserved or not a plain string")

    @property
    def not_finite(self) -> str:
        """Which array holds NaN or infinite values, as words of a message; empty if none does."""
        arrays = {"layout holds": (self.layout, self.views), "latents hold": (self.latents,)}
        arrays["text embeddings hold"] = tuple((self.text or {}).values())
        for words, parts in arrays.items():
            if not all(array is None or np.isfinite(array).all() for array in parts):
                return f"its {words} NaN or infinite values"
        return ""

    @property
    def planes(self) -> dict[str, np.ndarray]:
        """The arrays that have the size of the image."""
        arrays = {"image": self.image, "label": self.label, "instances": self.instances}
        return {name: array for name, array in arrays.items() if array is not None}

    @staticmethod
    def _check(name: str, array: np.ndarray, dtypes: tuple[str, ...], ndim: int) -> None:
        if array.dtype.name not in dtypes or array.ndim != ndim or array.size == 0:
            raise InvalidSample(
                f"bad {name}: {array.dtype.name}{list(array.shape)}, "
                f"expected {' or '.join(dtypes)} with {ndim} dimensions, none of them 0"
            )


def stack_pairs(samples: Sequence[Sample]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.unsignedinteger]]:
    """Images ``uint8 [B, H, W, 3]`` and labels ``uint8|uint16 [B, H, W]`` of samples of one size.

    Raises ValueError where a sample has no image or no label.
    """
    images = [sample.image for sample in samples if sample.image is not None]
    labels = [sample.label for sample in samples if sample.label is not None]
    if len(images) < len(samples) or len(labels) < len(samples):
        raise ValueError("unlabelled: a sample has no image or no label")
    return np.stack(images), np.stack(labels)


@dataclass(frozen=True)
class Failure:
    """A sample that was not written: a row of the quarantine.

    ``reason`` starts with its kind and a colon ("unreadable image: ..."); failures are counted by kind.
    """

    key: str
    stage: str
    reason: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


def kind_of(reason: str) -> str:
    """The kind of a reason: the text before the first colon."""
    return reason.split(":", 1)[0].strip()
