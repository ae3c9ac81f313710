"""Run models on `meta` tensors as a GPU would: in the same precisions, with the same kernels for attention."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

# What autocast on CUDA runs in half precision and in float32, as far as models here use it:
# https://pytorch.org/docs/stable/amp.html#cuda-op-specific-behavior
HALF = {
    torch.conv2d,
    torch.matmul,
    torch.bmm,
    torch.baddbmm,
    torch.addmm,
    torch.Tensor.matmul,
    torch.Tensor.__matmul__,
    F.linear,
}
FULL = {
    torch.exp,
    torch.rsqrt,
    torch.Tensor.pow,
    torch.Tensor.softmax,
    F.group_norm,
    F.layer_norm,
    F.softmax,
    F.mse_loss,
}
# Widest head of flash attention; see `torch.backends.cuda.can_use_flash_attention`.
FLASH_WIDTH = 256


class Kernels(TorchFunctionMode):
    """What `meta` does not know of a GPU: autocast, and attention that never holds the matrix of all pairs.

    Args:
        half: type that autocast takes; None without autocast.
    """

    def __init__(self, half: torch.dtype | None) -> None:
        super().__init__()
        self.half = half

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function of torch."""
        options = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **options)
        if self.half is not None and (func in HALF or func in FULL):
            dtype = self.half if func in HALF else torch.float32
            args, options = tree_map(lambda value: _cast(value, dtype), (args, options))
        return func(*args, **options)

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **options: Any,
    ) -> Tensor:
        if self.half is not None:
            query, key, value = (_cast(tensor, self.half) for tensor in (query, key, value))
        if attn_mask is not None or query.shape[-1] > FLASH_WIDTH:
            options |= {"attn_mask": attn_mask, "dropout_p": dropout_p, "is_causal": is_causal}
            return F.scaled_dot_product_attention(query, key, value, **options)
        operations = torch.ops.aten
        if query.dtype == torch.float32:
            needs_sums = torch.is_grad_enabled()
            found = operations._scaled_dot_product_efficient_attention(
                query, key, value, None, needs_sums, dropout_p, is_causal
            )
        else:
            found = operations._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal)
        return found[0]


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
