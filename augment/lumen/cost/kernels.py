"""Run models on `meta` tensors as a device would: in the same precisions, with the same kernels for attention."""

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
    """What `meta` does not know of a device: autocast, and attention that never holds the matrix of all pairs.

    Args:
        device: `cuda` or `cpu`.
        half: type that autocast takes; None without autocast. On both devices as CUDA has it.
    """

    def __init__(self, device: str, half: torch.dtype | None) -> None:
        super().__init__()
        self.device, self.half = device, half

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
        if self.device == "cpu":
            attend = operations._scaled_dot_product_flash_attention_for_cpu
        elif query.dtype == torch.float32:
            return operations._scaled_dot_product_efficient_attention(
                query, key, value, None, torch.is_grad_enabled(), dropout_p, is_causal
            )[0]
        else:
            attend = operations._scaled_dot_product_flash_attention
        return attend(query, key, value, dropout_p, is_causal)[0]


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
