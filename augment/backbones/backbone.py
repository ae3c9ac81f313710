"""The protocol of frozen foundation models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class Backbone(Protocol):
    """A frozen image encoder that turns images into dense features.

    Attributes:
        name: what it was loaded as, with its settings; a layout basis records it, and `load_backbone` takes it.
        revision: differs where the features differ, e.g. `weights_digest` of the model; part of a basis's digest.
        channels: channels of its features.
    """

    name: str
    revision: str
    channels: int

    def features(self, images: NDArray[np.uint8], stride: int = 8) -> torch.Tensor:
        """Encode RGB images `uint8 [B, H, W, 3]` into `float32 [B, channels, H / stride, W / stride]` on any device."""
        ...


@runtime_checkable
class LayeredBackbone(Backbone, Protocol):
    """A backbone that also gives the tokens of its layers, which training a decoder compares."""

    def layer_tokens(self, pixels: torch.Tensor, depth: int, stride: int = 8) -> list[torch.Tensor]:
        """All tokens `[B, N, channels]` after each of the first `depth` layers; gradients flow to the pixels.

        Early layers see how an image looks, late ones what it shows.

        Args:
            pixels: `float32 [B, 3, H, W]` in 0..1, H and W multiples of `stride`.
            depth: layers to run.
            stride: pixels of the image that one token covers.
        """
        ...


@runtime_checkable
class PixelBackbone(Backbone, Protocol):
    """A backbone that also encodes pixels with gradients, which training on the layouts of predicted images needs."""

    def pixel_features(self, pixels: torch.Tensor, stride: int = 8) -> torch.Tensor:
        """Encode pixels `float [B, 3, H, W]` in 0..1 as `features` encodes images; gradients flow to the pixels.

        Returns:
            `float32 [B, channels, H / stride, W / stride]`.
        """
        ...
