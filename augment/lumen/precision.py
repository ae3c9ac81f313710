"""The precision of training and sampling."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision for `bf16`, nothing for `fp32`."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def casting(device: torch.device, precision: str, weights: torch.dtype) -> torch.autocast:
    """Autocast to a precision if the weights are in float32; nothing if they are already in half precision."""
    enabled = weights == torch.float32 and precision != "fp32"
    return torch.autocast(device.type, DTYPES[precision] if enabled else torch.bfloat16, enabled=enabled)
