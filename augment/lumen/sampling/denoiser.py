"""The prediction of a batch at one noise level, with guidance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F

from augment.lumen.bases.text import Text
from augment.lumen.layout_encoder import EmbeddedLayout
from augment.lumen.sampling.options import NO_GUIDANCE

if TYPE_CHECKING:
    from augment.lumen.bases.base import DiffusionModel, Residuals
    from augment.lumen.sampling.options import SamplerOptions

# Dimensions of the residuals of a transformer.
TOKENS = 3


class Adapter(Protocol):
    """A layout adapter, or what is used like one; see `LayoutControlNet`."""

    def embed(self, layout: torch.Tensor, k: torch.Tensor, sample: torch.Tensor) -> EmbeddedLayout:
        """A layout as it is for all steps."""

    def residuals(self, sample: torch.Tensor, timestep: torch.Tensor, text: Text, planes: EmbeddedLayout) -> Residuals:
        """What the layout adds to the base."""


@dataclass(frozen=True)
class Conditions:
    """What all branches read at every step beside the latents, one branch after the other.

    Attributes:
        branches: their number.
        text: prompts.
        controlled: prompts of the branches that the adapter runs for, which are the last ones.
        layout: embedded, of those branches.
        strength: of control in them; None is 1 everywhere.
    """

    branches: int
    text: Text
    controlled: Text
    layout: EmbeddedLayout
    strength: torch.Tensor | None


@dataclass(frozen=True)
class Denoiser:
    """Predicts what the base was trained to predict, such as the noise or the velocity, for latents `[B, C, H, W]`.

    With guidance, one pass of the base predicts both the free branch, which follows no layout, and the bound one. By
    default the adapter runs for the bound branch alone. With a scale of its own for the text, a third branch follows
    the layout without the text: Brooks et al., *InstructPix2Pix*, 2023, eq. 3.

    What does not change from step to step, such as the embedding of the layout, is computed at the first step only.

    Attributes:
        base, adapter: the models.
        options: guidance, and where the adapter acts.
        layout: `float [B, K, h, w]`.
        k: `int64 [B]` or `int64 [B, h, w]`.
        text: B prompts.
        negative: B prompts that guidance steers away from; None without guidance.
        strength: of control, `float [B]` or `float [B, h, w]`; None is 1 everywhere.
    """

    base: DiffusionModel
    adapter: Adapter
    options: SamplerOptions
    layout: torch.Tensor
    k: torch.Tensor
    text: Text
    negative: Text | None = None
    strength: torch.Tensor | None = None
    _conditions: dict[bool, Conditions] = field(default_factory=dict, init=False, repr=False, compare=False)
    _embedded: dict[bool, torch.Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The prediction, of the shape of the latents, for a timestep `[]` on the CPU."""
        if self.options.records_graphs:
            # What a graph returned in an earlier step may be overwritten.
            torch.compiler.cudagraph_mark_step_begin()
        read = self._read(latents, guided=self.negative is not None and self.guides(timestep))
        inputs = torch.cat([latents] * read.branches) if read.branches > 1 else latents
        # Filling needs no copy to the device, which could wait for it.
        steps = torch.full((len(inputs),), timestep.item(), dtype=timestep.dtype, device=latents.device)
        free = len(read.text) - len(read.controlled)
        residuals = self.adapter.residuals(inputs[free:], steps[free:], read.controlled, read.layout)
        if read.strength is not None:
            residuals = tuple(scaled(part, read.strength) for part in residuals)
        if free:
            # Zeros for the branch without layout, before the others.
            residuals = tuple(F.pad(part, (*(0, 0) * (part.ndim - 1), free, 0)) for part in residuals)
        prediction = self.base.denoise(inputs, steps, read.text, residuals)
        if read.branches == 1:
            return prediction
        without, *layout_alone, whole = prediction.float().chunk(read.branches)
        scale = self.options.guidance_scale
        if not layout_alone:
            return without + scale * (whole - without)
        [layout] = layout_alone
        return without + scale * (layout - without) + (self.options.text_guidance_scale or 0) * (whole - layout)

    def guides(self, timestep: torch.Tensor) -> bool:
        """Whether guidance acts at a timestep on the CPU."""
        first, last = self.options.guidance_interval
        done = 1 - timestep.item() / self.base.schedule.get("num_train_timesteps", 1000)
        return self.options.guidance_scale != NO_GUIDANCE and first <= done <= last

    def _read(self, latents: torch.Tensor, *, guided: bool) -> Conditions:
        """What the branches of guidance read, or the bound branch alone."""
        if guided not in self._conditions:
            # Of each branch its prompts, and whether it follows the layout.
            branches = [(self.text, True)]
            if guided:
                assert self.negative is not None
                layout_alone = [] if self.options.text_guidance_scale is None else [(self.negative, True)]
                branches = [(self.negative, False), *layout_alone, *branches]
            controlled = [one for one in branches if one[1] or self.options.control_free_branch]
            layouts = [self._embed(latents, follows) for _, follows in controlled]
            self._conditions[guided] = Conditions(
                len(branches),
                Text.concatenate([text for text, _ in branches]),
                Text.concatenate([text for text, _ in controlled]),
                EmbeddedLayout(torch.cat(layouts) if len(layouts) > 1 else layouts[0]),
                None if self.strength is None else torch.cat([self.strength] * len(controlled)),
            )
        return self._conditions[guided]

    def _embed(self, latents: torch.Tensor, follows: bool) -> torch.Tensor:
        """The embedded layout for a branch that follows it, or for one that has k = 0."""
        if follows not in self._embedded:
            k = self.k if follows else torch.zeros_like(self.k)
            self._embedded[follows] = self.adapter.embed(self.layout, k, latents).values
        return self._embedded[follows]


def scaled(residual: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """A residual times a strength `[B]` or, averaged to its size, `[B, H, W]`.

    The residual is `[B, C, h, w]`, or that of a transformer, `[B, h w, C]`, row by row.
    """
    if strength.ndim == 1:
        return residual * strength.view(-1, *[1] * (residual.ndim - 1)).to(residual.dtype)
    if residual.ndim == TOKENS:
        rows = round(math.sqrt(residual.shape[1] * strength.shape[1] / strength.shape[2]))
        cells = F.adaptive_avg_pool2d(strength[:, None], (rows, residual.shape[1] // rows))
        return residual * cells.flatten(2).transpose(1, 2).to(residual.dtype)
    cells = F.adaptive_avg_pool2d(strength[:, None], (residual.shape[2], residual.shape[3]))
    return residual * cells.to(residual.dtype)
