"""What the measures need of every image, collected in one pass over the sources; no image is encoded twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray

from augment.measures.patches import patch_distance, patch_diversity
from augment.measures.structure import depth_error, edge_agreement, edge_map

Images = Sequence[NDArray[np.uint8]]
# Sources whose photographs are encoded twice with noise, and the standard deviation of the noise.
NOISY, SIGMA = 4, 25.0


@dataclass(frozen=True)
class Encoders:
    """The models that images are measured with, each from images `uint8 [H, W, 3]` to one result for each.

    Attributes:
        features: patch features `float [C, h, w]`.
        depth: depth maps `float32 [H, W]`; None measures none.
        clip: embeddings `float32 [D]`; None measures none.
    """

    features: Callable[[Images], list[torch.Tensor]]
    depth: Callable[[Images], list[NDArray[np.float32]]] | None = None
    clip: Callable[[Images], list[NDArray[np.float32]]] | None = None

    def vectors(self, images: Images) -> NDArray[np.float32]:
        """The mean features `float32 [N, C]` of images."""
        return np.stack([pooled(found) for found in self.features(images)])


@dataclass
class Agreement:
    """How images painted on sources agree with them, and with other sources of the same split."""

    own: list[float] = field(default_factory=list)
    other: list[float] = field(default_factory=list)


@dataclass
class Painted:
    """What was measured of the images of one k.

    Attributes:
        vectors: by source and variant.
        clip: the same of their embeddings.
        diversity: of the variants of each source that has several.
        edges, depth: agreement with the sources.
    """

    vectors: list[list[NDArray[np.float32]]] = field(default_factory=list)
    clip: list[list[NDArray[np.float32]]] = field(default_factory=list)
    diversity: list[float] = field(default_factory=list)
    edges: Agreement = field(default_factory=Agreement)
    depth: Agreement = field(default_factory=Agreement)


@dataclass
class _Photograph:
    features: torch.Tensor
    edges: NDArray[np.bool_]
    depth: NDArray[np.float32] | None


@dataclass
class MeasuredImages:
    """Collects the measures of sources and of what is painted on them, one source at a time.

    The sources come in an order in which neighbours show different scenes; see `shuffled`.

    Attributes:
        encoders: the models.
        keys: of the sources.
        vectors: mean features `float32 [C]` of the sources.
        clip: embeddings of the sources.
        of_noise: patch distances between two copies of a photograph with noise.
        of_photographs: patch distances between photographs of different sources.
        painted: by k.
    """

    encoders: Encoders
    keys: list[str] = field(default_factory=list)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    clip: list[NDArray[np.float32]] = field(default_factory=list)
    of_noise: list[float] = field(default_factory=list)
    of_photographs: list[float] = field(default_factory=list)
    painted: dict[int, Painted] = field(default_factory=dict)
    _before: _Photograph | None = None

    def add(self, key: str, photograph: NDArray[np.uint8], painted: Mapping[int, Images]) -> None:
        """Measure a source and the images painted on it at each k."""
        variants = [image for images in painted.values() for image in images]
        noisy = with_noise(key, photograph) if len(self.keys) < NOISY else []
        features = self.encoders.features([photograph, *variants, *noisy])
        depth = self.encoders.depth([photograph, *variants]) if self.encoders.depth else None
        clip = self.encoders.clip([photograph, *variants]) if self.encoders.clip else None
        source = _Photograph(features[0], edge_map(photograph), depth[0] if depth else None)
        self.keys.append(key)
        self.vectors.append(pooled(features[0]))
        if clip is not None:
            self.clip.append(clip[0])
        if noisy:
            self.of_noise.append(patch_distance(*features[-2:]))
        if self._before is not None:
            self.of_photographs.append(patch_distance(self._before.features, source.features))
        start = 1
        for k, images in painted.items():
            place = slice(start, start + len(images))
            start = place.stop
            found = self.painted.setdefault(k, Painted())
            found.vectors.append([pooled(one) for one in features[place]])
            found.clip.append(list(clip[place]) if clip is not None else [])
            if len(images) > 1:
                found.diversity.append(patch_diversity(torch.stack(features[place])))
            self._compare(found, source, images, depth[place] if depth is not None else [])
        self._before = source

    def _compare(
        self, found: Painted, source: _Photograph, images: Images, depths: Sequence[NDArray[np.float32]]
    ) -> None:
        """Compare the painted images of a source with it and with the source before it."""
        pairs = [(source, "own"), *([(self._before, "other")] if self._before is not None else [])]
        for photograph, name in pairs:
            for image in images:
                if (agreement := edge_agreement(photograph.edges, edge_map(image))) is not None:
                    getattr(found.edges, name).append(agreement)
            for depth in depths:
                assert photograph.depth is not None
                getattr(found.depth, name).append(depth_error(photograph.depth, depth))


def shuffled(keys: Sequence[str], limit: int) -> list[str]:
    """At most `limit` of the keys, in an order that is random and depends on each key alone.

    In their own order, neighbours may be frames of one video.
    """
    return sorted(keys, key=_digest)[:limit]


def with_noise(key: str, image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Two copies of an image `uint8 [H, W, 3]`, each with normal noise of its own in every pixel."""
    rng = np.random.default_rng(list(_digest(key)))
    noise = rng.normal(0, SIGMA, (2, *image.shape))
    return list((image + noise).round().clip(0, 255).astype(np.uint8))


def pooled(features: torch.Tensor) -> NDArray[np.float32]:
    """The mean `float32 [C]` of patch features `float [C, h, w]`."""
    return features.double().mean(dim=(1, 2)).float().cpu().numpy()


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
