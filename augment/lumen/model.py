"""The whole model in one object: from an image to its neural layout, and from a layout to new images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from augment.backbones import Backbone, load_backbone
from augment.errors import UserError
from augment.layouts.basis import LayoutBasis
from augment.layouts.extraction import extract_layouts
from augment.lumen import zoo
from augment.lumen.adapter import load_adapter
from augment.lumen.diffusion_model import load_diffusion_model
from augment.lumen.layout_sampler import LayoutSampler, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

LUMEN_TINY = "lumen-tiny"


@dataclass(frozen=True)
class Lumen:
    """A backbone, the basis that layouts are written in, and a sampler that paints on them.

    Attributes:
        backbone: extracts the features of an image.
        basis: projects them on the components that the adapter was trained with.
        sampler: base model and adapter.
    """

    backbone: Backbone
    basis: LayoutBasis
    sampler: LayoutSampler

    @classmethod
    def load(
        cls,
        base: str = LUMEN_TINY,
        adapter: Path | None = None,
        backbone: str | None = None,
        device: str = "cpu",
        num_steps: int = 20,
        guidance_scale: float = 2.0,
        precision: str = "bf16",
    ) -> Lumen:
        """Load everything that painting needs.

        Args:
            base: a model of the zoo, a local folder in diffusers layout, or a hub id.
            adapter: folder with an adapter and its basis, such as `adapter` in a workspace; None takes the adapter
                that comes with a model of the zoo.
            backbone: where to load the backbone from; None takes the name that the basis records.
            device: torch device of all models.
            num_steps, guidance_scale, precision: see `LayoutSampler`.

        Raises:
            UserError: a part cannot be loaded, or the basis was fitted on other weights of the backbone.
        """
        if adapter is None and base not in zoo.names():
            raise UserError(f"base model {base!r} comes without an adapter: give the folder of one that adapt wrote")
        folder = zoo.ZOO / base / "adapter" if adapter is None else adapter
        basis = LayoutBasis.load(folder / "basis")
        encoder = load_backbone(backbone or basis.backbone, device)
        if encoder.revision != basis.revision:
            raise UserError(
                f"{folder} was trained on layouts of {basis.backbone!r}, revision {basis.revision[:8]}, and "
                f"{encoder.name!r} has revision {encoder.revision[:8]}: give the backbone that it was trained with"
            )
        models = load_diffusion_model(base, device), load_adapter(folder, device)
        return cls(encoder, basis, LayoutSampler(*models, num_steps, guidance_scale, precision))

    def layout(self, image: NDArray[np.uint8]) -> NDArray[np.float16]:
        """The neural layout `float16 [K, H / 8, W / 8]` of an RGB image `uint8 [H, W, 3]`.

        Raises:
            UserError: height or width is not a multiple of 8.
        """
        return extract_layouts(image[None], self.backbone, self.basis)[0]

    def paint(
        self,
        layout: NDArray[np.float16],
        k: int | NDArray[np.integer],
        prompt: str = "",
        seed: int = 0,
        negative_prompt: str = "",
    ) -> NDArray[np.uint8]:
        """Paint a new RGB image `uint8 [H, W, 3]` on a layout `float16 [K, H / 8, W / 8]`.

        Args:
            layout: see `layout`.
            k: leading components to follow, 0..K, or those to follow in each cell, `int [H / 8, W / 8]`; fewer give
                more diverse images.
            prompt: what to paint, in the words of the captions that the base model was trained with.
            seed: of the noise, 0..2**63 - 1; another seed gives another image.
            negative_prompt: what guidance steers away from.

        Raises:
            UserError: k is out of range, or a prompt is longer than the text encoder takes.
            NotFinite: the image comes out as NaN or infinite values.
        """
        return self.sampler.generate([Request(layout, k, prompt, seed, negative_prompt)])[0]
