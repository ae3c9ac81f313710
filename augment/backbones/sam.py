"""The image encoder of Segment Anything, through transformers, for images of any size."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from augment.backbones.encoder import Encoder


class SamBackbone(Encoder):
    """The output of SAM's neck, or of an earlier layer without it.

    The library's model takes one size of image. Here its parts run one by one: the absolute position embedding is
    interpolated to the grid, bicubically; the relative ones are interpolated by the attention itself, and windows are
    padded, as in the library.
    """

    def __init__(self, *arguments: Any) -> None:
        """See `Encoder`."""
        super().__init__(*arguments)
        self._encoder = self._model.vision_encoder
        del self._encoder.layers[self.layer + 1 :]
        self._with_neck = self.is_last

    def _cells(self, pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        hidden = self._encoder.patch_embed.projection(pixels).permute(0, 2, 3, 1)
        if self._encoder.pos_embed is not None:
            hidden = hidden + resized(self._encoder.pos_embed, rows, columns)
        for layer in self._encoder.layers:
            output = layer(hidden)
            hidden = output[0] if isinstance(output, tuple) else output
        return (self._encoder.neck(hidden) if self._with_neck else hidden.permute(0, 3, 1, 2)).float()


def resized(positions: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Interpolate position embeddings `[1, h, w, C]` to `[1, rows, columns, C]`; none are changed where these agree."""
    if positions.shape[1:3] == (rows, columns):
        return positions
    grid = F.interpolate(positions.float().permute(0, 3, 1, 2), (rows, columns), mode="bicubic", align_corners=False)
    return grid.permute(0, 2, 3, 1).to(positions.dtype)
