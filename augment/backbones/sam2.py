"""The image encoder of SAM 2, through transformers, for images of any size."""

from __future__ import annotations

from math import lcm
from typing import Any

import torch
import torch.nn.functional as F

from augment.backbones.encoder import Encoder

# Pixels that a cell of the first stage covers; each stage after it has cells twice as wide.
FIRST_CELL = 4


class Sam2Backbone(Encoder):
    """SAM 2's image embedding, which is the coarsest level of its neck, or the output of an earlier stage without it.

    The library's model takes images that the windows of its position embedding and the cells of its last stage divide.
    Others are padded at the right and below with the mean colour, and the cells past the image are dropped.
    """

    def __init__(self, *arguments: Any) -> None:
        """See `Encoder`."""
        super().__init__(*arguments)
        trunk = self._model.backbone
        self._multiple = FIRST_CELL * lcm(trunk.pos_embed_window.shape[-1], 2 ** (len(trunk.stage_ends) - 1))
        # The neck reads all stages; without it, those after the layer take no time and no memory.
        self._with_neck = self.is_last
        if not self._with_neck:
            del trunk.blocks[trunk.stage_ends[self.layer] + 1 :]

    def _cells(self, pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        height, width = pixels.shape[2:]
        pixels = F.pad(pixels, (0, -width % self._multiple, 0, -height % self._multiple))
        if self._with_neck:
            found = self._model(pixels).fpn_hidden_states[-1]
        else:
            found = self._model.backbone(pixels).last_hidden_state.permute(0, 3, 1, 2)
        return found[:, :, :rows, :columns].float()
