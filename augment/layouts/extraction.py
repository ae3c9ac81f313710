"""From images to their neural layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from augment.stride import STRIDE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from augment.backbones.backbone import Backbone
    from augment.layouts.basis import LayoutBasis


def extract_layouts(
    images: NDArray[np.uint8], backbone: Backbone, basis: LayoutBasis, num_components: int | None = None
) -> NDArray[np.float16]:
    """Extract the neural layouts of RGB images `uint8 [B, H, W, 3]`.

    Args:
        images: of one size, a multiple of 8.
        backbone: the one that the basis was fitted on.
        basis: with K components or more.
        num_components: leading components to keep, K; None keeps all.

    Returns:
        `float16 [B, K, H / 8, W / 8]`; values past the range of float16 come out infinite.

    Raises:
        UserError: the size is not a multiple of 8, or the basis has another number of channels.
    """
    features = backbone.features(basis.prepare(images), STRIDE)
    return basis.project(features)[:, :num_components].half().cpu().numpy()
