"""A reward for images that have the layout that they were to have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from augment.backbones.backbone import PixelBackbone
from augment.errors import UserError
from augment.lumen.layout_encoder import components_kept
from augment.stride import STRIDE

if TYPE_CHECKING:
    from augment.backbones.backbone import Backbone
    from augment.layouts.basis import LayoutBasis
    from augment.lumen.bases.base import DiffusionModel
    from augment.lumen.training.objective import Batch, Prediction


@dataclass(frozen=True)
class LayoutConsistency:
    """Compares the layout of the image that a prediction implies with the one that the adapter read.

    Li et al., *ControlNet++: Improving conditional controls with efficient consistency feedback*, 2024, sec. 3.3, do so
    for labels and depth.

    Attributes:
        backbone: what the basis was fitted on, on the device of the base.
        basis: of the layouts of the batch.
        below: noise levels up to which images are compared, as a share of all, 0..1.
    """

    backbone: PixelBackbone
    basis: LayoutBasis
    below: float

    @classmethod
    def of(cls, backbone: Backbone, basis: LayoutBasis, below: float) -> LayoutConsistency:
        """The reward on a frozen backbone.

        Raises:
            UserError: no gradients flow through the backbone.
        """
        if not isinstance(backbone, PixelBackbone):
            raise UserError(
                f"adapt.objective.consistency: no gradients flow through backbone {backbone.name!r}: set it to 0, or "
                "take a backbone that encodes pixels, such as one of DINOv2"
            )
        return cls(backbone, basis, below)

    def __call__(self, base: DiffusionModel, batch: Batch, prediction: Prediction) -> torch.Tensor:
        """Mean squared difference of the layouts over the components in use, in standard deviations.

        The sum over the samples that are compared, divided by all of them; of samples at k = 0 nothing is compared.
        """
        most = batch.k.flatten(1).amax(1) if batch.k.ndim > 1 else batch.k
        compared = (prediction.levels < self.below * prediction.schedule.count) & (most > 0)
        if not compared.any():
            return prediction.output.sum() * 0
        pixels = base.decode_pixels(prediction.clean[compared]).float()
        unit = ((pixels + 1) / 2).clamp(0, 1)
        features = self.backbone.pixel_features(self.basis.prepare_pixels(unit), STRIDE)
        wanted = batch.layout[compared]
        found = self.basis.project(features)[:, : wanted.shape[1]]
        kept = components_kept(wanted.shape[1], batch.k[compared]).expand(wanted.shape)
        errors = ((found - wanted).square() * kept).flatten(1).sum(1) / kept.flatten(1).sum(1)
        return errors.sum() / len(compared)
