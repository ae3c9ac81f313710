"""Convolutional image encoders, through transformers: DINOv3 ConvNeXt."""

from __future__ import annotations

from typing import Any

import torch

from augment.backbones.encoder import Encoder, wrong_grid
from augment.backbones.transformer import collecting


class ConvolutionalBackbone(Encoder):
    """The output of a stage of a ConvNeXt; that of the last one after the final normalisation.

    A cell of stage n covers 4 * 2**n pixels, to which the image is resized: an earlier stage is cheaper.
    """

    def __init__(self, *arguments: Any) -> None:
        """See `Encoder`."""
        super().__init__(*arguments)
        self._stages = next(part for part in self._model.modules() if isinstance(part, torch.nn.ModuleList))

    def _cells(self, pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        if self.is_last:
            # Its first token is the mean of the map.
            tokens = self._model(pixel_values=pixels).last_hidden_state[:, 1:]
            if tokens.shape[1] != rows * columns:
                raise wrong_grid(self.name, tokens.shape[1], rows, columns)
            return tokens.float().transpose(1, 2).reshape(len(pixels), self.channels, rows, columns)
        with collecting([self._stages[self.layer]], stop=True) as outputs:
            self._model(pixel_values=pixels)
        return outputs[0].float()
