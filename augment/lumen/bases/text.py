"""What a base model is given of its prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Text:
    """The embeddings of B prompts, on the device of the model.

    Attributes:
        embeddings: `[B, L, D]`, for attention.
        pooled: `[B, P]`, one vector a prompt; None in a family that reads none.
        sizes: `float [B, S]`, sizes of the image as numbers; None in a family that reads none.
    """

    embeddings: Tensor
    pooled: Tensor | None = None
    sizes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        tensors = (getattr(self, field.name) for field in fields(Text))
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)

    @property
    def added_conditions(self) -> dict[str, Tensor] | None:
        """What the U-Nets of diffusers take as `added_cond_kwargs`."""
        if self.pooled is None or self.sizes is None:
            return None
        return {"text_embeds": self.pooled, "time_ids": self.sizes}

    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> Text:
        """The prompts of a slice, of a list of numbers or of a mask."""
        return self._each(lambda tensor: tensor[index])

    def to(self, *args: Any, **options: Any) -> Text:
        """The same on another device or in another dtype; see `Tensor.to`."""
        return self._each(lambda tensor: tensor.to(*args, **options))

    @staticmethod
    def concatenate(parts: Sequence[Text]) -> Text:
        """The prompts of all parts, which are of one family."""
        joined: dict[str, Any] = {}
        for name in (field.name for field in fields(Text)):
            tensors = [getattr(part, name) for part in parts]
            joined[name] = None if tensors[0] is None else torch.cat(tensors)
        return Text(**joined)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Text:
        changed: dict[str, Any] = {}
        for field in fields(Text):
            value = getattr(self, field.name)
            changed[field.name] = None if value is None else change(value)
        return Text(**changed)
