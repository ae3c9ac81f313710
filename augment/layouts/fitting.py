"""Fitting a basis: from images and photometric copies of them to the components of layouts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from augment.layouts.basis import LayoutBasis
from augment.layouts.changes import photometric_copies
from augment.layouts.fusion import equal_variance_scale
from augment.layouts.moments import SceneMoments
from augment.layouts.standardization import standardized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import torch
    from numpy.typing import NDArray

    from augment.layouts.options import BasisOptions


def scene_moments(
    images: NDArray[np.uint8],
    seeds: Sequence[Sequence[int]],
    encode: Callable[[NDArray[np.uint8]], torch.Tensor],
    options: BasisOptions,
    threads: int = 1,
) -> SceneMoments:
    """Moments of the features of images and of their photometric copies.

    Args:
        images: RGB, `uint8 [B, H, W, 3]`.
        seeds: of the copies of each image, 0..2**63 - 1, as many as `options.copies` or more.
        encode: gives features `float [B, C, h, w]` of RGB images `uint8 [B, H, W, 3]`.
        options: how the basis is fitted.
        threads: how many copies are made at once, while `encode` works on others.

    Raises:
        NotFinite: a feature is NaN or infinite.
    """
    return moments_of_views(scene_views(images, seeds, options, threads), encode)


def scene_views(
    images: NDArray[np.uint8], seeds: Sequence[Sequence[int]], options: BasisOptions, threads: int = 1
) -> Iterator[NDArray[np.uint8]]:
    """The images and each of their photometric copies, as a backbone encodes them; see `scene_moments`.

    At the size of Cityscapes a copy takes longer than a GPU needs to encode it, so this part may run in threads.
    """
    prepare = standardized if options.standardize else np.asarray
    yield prepare(images)
    if options.basis_kind == "invariant":
        wanted = [[own[index] for index in range(options.copies)] for own in seeds]
        for copies in photometric_copies(images, wanted, threads):
            yield prepare(copies)


def moments_of_views(
    views: Iterable[NDArray[np.uint8]], encode: Callable[[NDArray[np.uint8]], torch.Tensor]
) -> SceneMoments:
    """Moments of the features of what `scene_views` gives; see `scene_moments`."""
    encoded = [encode(view) for view in views]
    return SceneMoments.of(encoded[0], encoded[1:])


def fit_basis(
    moments: SceneMoments,
    num_components: int,
    backbone: str,
    revision: str,
    options: BasisOptions,
    groups: Sequence[int] = (),
) -> LayoutBasis:
    """The basis of `num_components` that the options ask for; see `LayoutBasis.fit` and `fit_invariant`.

    Args:
        moments: of the features.
        num_components: K.
        backbone, revision: of the features.
        options: how the basis is fitted.
        groups: channels of each backbone of a fusion, which are given equal total variance first.

    Raises:
        UserError: there are fewer channels, or fewer vectors to fit on.
        NotFinite: the moments hold NaN or infinite values.
    """
    if len(groups) > 1:
        scale = equal_variance_scale(np.diag(moments.images.covariance), groups)
        basis = fit_basis(moments.scaled(scale), num_components, backbone, revision, options)
        return replace(basis, scale=scale)
    if options.basis_kind == "pca":
        return LayoutBasis.fit(moments.images, num_components, backbone, revision, options.standardize)
    return LayoutBasis.fit_invariant(
        moments,
        num_components,
        backbone,
        revision,
        options.standardize,
        epsilon=options.epsilon,
        without_position=options.without_position,
    )
