"""Prompts as the tokens of a CLIP text encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from augment.lumen.transfer import uploaded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


def clip_tokens(tokenizer: Any, prompts: Sequence[str], length: int, device: torch.device) -> torch.Tensor:
    """Token ids `int64 [B, length]`, padded; the prompts are not longer than that."""
    tokens = tokenizer(list(prompts), padding="max_length", max_length=length, return_tensors="pt")
    return uploaded(tokens.input_ids, device)
