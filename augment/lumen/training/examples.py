"""What an adapter is trained on: images for sample grids, and samples that are already encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from augment.lumen.bases.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from augment.lumen.bases.base import DiffusionModel

# Images and prompts that `EncodedImages` encodes at once.
_BATCH = 16


@dataclass(frozen=True)
class Example:
    """An image with its layout and a caption.

    Attributes:
        image: `uint8 [H, W, 3]`.
        layout: `float16 [K, h, w]`.
        caption: text for the image.
    """

    image: NDArray[np.uint8]
    layout: NDArray[np.float16]
    caption: str


@dataclass(frozen=True)
class Encoded:
    """One training sample as a step reads it.

    Attributes:
        latents: of the image, `float16 [C, H / stride, W / stride]`.
        layout: `float16 [K, h, w]`.
        text: embeddings of the caption, `float16` or `float32` arrays by name; see `text_arrays`.
        caption: the text itself.
    """

    latents: NDArray[np.float16]
    layout: NDArray[np.float16]
    text: Mapping[str, NDArray[np.floating]]
    caption: str


class Examples(Protocol):
    """Random access to examples, all of one size."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


class EncodedExamples(Protocol):
    """Random access to encoded training samples, all of one size; several threads read at once."""

    @property
    def versions(self) -> int:
        """Versions of each sample: 0 is the whole image, the others are its mirror image and crops of it."""

    @property
    def views(self) -> int:
        """Layouts of photometric copies that each sample has."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a layout, (K, h, w)."""

    @property
    def empty(self) -> Mapping[str, NDArray[np.floating]]:
        """Embeddings of the empty caption, as in `Encoded`."""

    def __len__(self) -> int: ...

    def get(self, index: int, version: int, view: int | None) -> Encoded:
        """One version of a sample, with the layout of a photometric copy where `view` is its number."""
        ...


class EncodedImages:
    """Images that are encoded once and kept in memory, for small sets; a store holds large ones."""

    versions = 1
    views = 0

    @torch.no_grad()
    def __init__(self, base: DiffusionModel, examples: Sequence[Example]) -> None:
        """Encode images and captions; all images are of one size."""
        every = [examples[index] for index in range(len(examples))]
        parts = [every[start : start + _BATCH] for start in range(0, len(every), _BATCH)]
        self._examples = every
        self._latents = [
            latents
            for part in parts
            for latents in base.encode(np.stack([example.image for example in part])).half().cpu().numpy()
        ]
        height, width = every[0].image.shape[:2]
        captions = [[""], *([example.caption for example in part] for part in parts)]
        embedded = [text for part in captions for text in text_arrays(base.embed(part, height, width))]
        self.empty, *self._texts = embedded
        self.shape = examples[0].layout.shape

    def __len__(self) -> int:
        return len(self._examples)

    def get(self, index: int, version: int, view: int | None) -> Encoded:  # noqa: ARG002 - there is one version, and no view
        """See `EncodedExamples.get`."""
        example = self._examples[index]
        return Encoded(self._latents[index], example.layout, self._texts[index], example.caption)


def text_arrays(text: Text, dtype: torch.dtype = torch.float32) -> list[dict[str, NDArray[np.floating]]]:
    """Split the embeddings of captions into arrays by name for each caption, in a precision; sizes stay `float32`."""
    parts = {"embeddings": text.embeddings.to(dtype)}
    if text.pooled is not None:
        parts["pooled"] = text.pooled.to(dtype)
    if text.sizes is not None:
        parts["sizes"] = text.sizes.float()
    arrays = {name: part.cpu().numpy() for name, part in parts.items()}
    return [{name: rows[index] for name, rows in arrays.items()} for index in range(len(text))]


def text_of(captions: Sequence[Mapping[str, NDArray[np.floating]]]) -> Text:
    """The embeddings `float32` of captions from the arrays of each."""
    return Text(
        **{name: torch.from_numpy(np.stack([arrays[name] for arrays in captions])).float() for name in captions[0]}
    )
