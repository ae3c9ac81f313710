"""Several backbones as one: their features side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from augment.backbones.backbone import Backbone

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class FusedBackbone:
    """The features of several backbones, concatenated along the channels.

    Their scales differ widely, so `fit_basis` takes `channel_groups` and gives each equal total variance.
    """

    def __init__(self, name: str, members: Sequence[Backbone]) -> None:
        """Fuse backbones under a name that `load_backbone` takes."""
        self.name = name
        self.members = tuple(members)
        self.channel_groups = tuple(member.channels for member in self.members)
        self.channels = sum(self.channel_groups)
        self.revision = hashlib.sha256("\0".join(member.revision for member in self.members).encode()).hexdigest()

    def features(self, images: NDArray[np.uint8], stride: int = 8) -> torch.Tensor:
        """Encode RGB images `uint8 [B, H, W, 3]` into `float32 [B, channels, H / stride, W / stride]`.

        The features are on the device of those of the first backbone.
        """
        parts = [member.features(images, stride) for member in self.members]
        return torch.cat([part.to(parts[0].device) for part in parts], dim=1)
