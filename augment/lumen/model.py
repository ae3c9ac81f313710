"""The whole model in one object: from an image to what its adapter reads, its neural layout, and to new images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from augment.conditioning import LAYOUT, TITLES, Conditioning
from augment.conditioning.loading import conditioning_of
from augment.conditioning.neural_layout import NeuralLayout
from augment.errors import UserError
from augment.lumen import zoo
from augment.lumen.sampling.loading import load_sampler
from augment.lumen.sampling.options import DEFAULTS, SamplerOptions
from augment.lumen.sampling.request import Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.backbones import Backbone
    from augment.layouts.basis import LayoutBasis
    from augment.lumen.sampling.layout_sampler import LayoutSampler

LUMEN_TINY = "lumen-tiny"


@dataclass(frozen=True)
class Lumen:
    """What the adapter reads of an image, such as its neural layout, and a sampler that paints on it.

    Attributes:
        conditioning: for a neural layout, the backbone and the basis that the adapter was trained with.
        sampler: base model and adapter.
    """

    conditioning: Conditioning
    sampler: LayoutSampler

    @classmethod
    def load(
        cls,
        base: str = LUMEN_TINY,
        adapter: Path | None = None,
        backbone: str | None = None,
        device: str = "cpu",
        options: SamplerOptions = DEFAULTS,
    ) -> Lumen:
        """Load everything that painting needs.

        Args:
            base: a model of the zoo, a local folder in diffusers layout, or a hub id.
            adapter: folder with an adapter and its basis or conditioning, such as `adapter` in a workspace; None takes
                the adapter that comes with a model of the zoo.
            backbone: where to load the backbone, or the depth model, from; None takes the recorded name.
            device: torch device of all models.
            options: number of steps, guidance and precision.

        Raises:
            UserError: a part cannot be loaded, or the adapter was trained with other weights of the backbone.
        """
        if adapter is None and base not in zoo.names():
            raise UserError(f"base model {base!r} comes without an adapter: give the folder of one that adapt wrote")
        folder = zoo.ZOO / base / "adapter" if adapter is None else adapter
        conditioning = conditioning_of(folder, device, backbone)
        return cls(conditioning, load_sampler(base, folder, options, device))

    @property
    def backbone(self) -> Backbone:
        """What extracts the features of an image; see `basis`."""
        return self._neural.backbone

    @property
    def basis(self) -> LayoutBasis:
        """The components that the adapter was trained with; raises UserError if it reads no neural layouts."""
        return self._neural.basis

    @property
    def _neural(self) -> NeuralLayout:
        if not isinstance(self.conditioning, NeuralLayout):
            raise UserError(f"the adapter reads {TITLES[self.conditioning.kind]}, which have no backbone and no basis")
        return self.conditioning

    def layout(self, image: NDArray[np.uint8], label: NDArray[np.unsignedinteger] | None = None) -> NDArray[np.float16]:
        """What the adapter reads of an RGB image `uint8 [H, W, 3]`: its neural layout `float16 [K, H / 8, W / 8]`.

        Of another conditioning, these are its edges, depth, or the map of its `label` of train ids `[H, W]`.

        Raises:
            UserError: height or width is not a multiple of 8, or the label is missing or has other classes.
        """
        return self.conditioning.maps(image[None], None if label is None else label[None])[0]

    def paint(
        self,
        layout: NDArray[np.float16],
        k: int | NDArray[np.integer] | None = None,
        prompt: str = "",
        seed: int = 0,
        negative_prompt: str = "",
    ) -> NDArray[np.uint8]:
        """Paint a new RGB image `uint8 [H, W, 3]` on a layout `float16 [K, H / 8, W / 8]`.

        Args:
            layout: see `layout`.
            k: leading components to follow, 0..K, or those to follow in each cell, `int [H / 8, W / 8]`; fewer give
                more diverse images. None is K; of a conditioning other than the neural layout, 0 and K are the only
                choices.
            prompt: what to paint, in the words of the captions that the base model was trained with.
            seed: of the noise, 0..2**63 - 1; another seed gives another image.
            negative_prompt: what guidance steers away from.

        Raises:
            UserError: k is out of range, or a prompt is longer than the text encoder takes.
            NotFinite: the image comes out as NaN or infinite values.
        """
        if k is None:
            k = len(layout)
        if self.conditioning.kind != LAYOUT and not np.isin(k, (0, len(layout))).all():
            raise UserError(
                f"k = {k}: the {len(layout)} channels of conditioning {self.conditioning.kind!r} have no order: give 0 "
                f"or {len(layout)}"
            )
        return self.sampler.generate([Request(layout, k, prompt, seed, negative_prompt)])[0]
