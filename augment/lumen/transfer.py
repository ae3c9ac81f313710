"""Copies between the host and a device that wait for nothing else that the device has to do."""

from __future__ import annotations

from collections.abc import Callable

import torch


def uploaded(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Values of the host on a device.

    A plain copy to a GPU waits until all work before it is done.
    """
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def download(*values: torch.Tensor) -> Callable[[], list[torch.Tensor]]:
    """Begin to copy values of one device to the host; what is returned waits for them, once."""
    if values[0].device.type != "cuda":
        return lambda: list(values)
    pinned = [torch.empty(one.shape, dtype=one.dtype, pin_memory=True) for one in values]
    for copy, one in zip(pinned, values, strict=True):
        copy.copy_(one, non_blocking=True)
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(values[0].device))

    def wait() -> list[torch.Tensor]:
        done.synchronize()
        # Pinned memory is scarce.
        return [copy.clone() for copy in pinned]

    return wait
