"""A request for an image on a layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from augment.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from augment.lumen.sampling.options import SamplerOptions


@dataclass(frozen=True)
class Request:
    """One image to paint.

    Attributes:
        layout: `float16 [K, h, w]`.
        k: leading components to follow, 0..K, or those to follow in each cell, `int [h, w]`.
        prompt: what to paint.
        seed: of its noise, 0..2**63 - 1.
        negative_prompt: guidance steers away from it.
        strength: factor of what the adapter adds to the base, 0 or more, or one for each cell, `float [h, w]`.
        guidance_scale: 1 or more, the same for all requests of a batch; None is that of the sampler.
    """

    layout: NDArray[np.float16]
    k: int | NDArray[np.integer]
    prompt: str
    seed: int
    negative_prompt: str = ""
    strength: float | NDArray[np.floating] = 1.0
    guidance_scale: float | None = None


def require_k(request: Request, limit: int) -> None:
    """Raise UserError if a k of the request is not in 0..`limit`, or there is not one for each cell."""
    ks, grid = np.asarray(request.k), request.layout.shape[1:]
    if ks.ndim and ks.shape != grid:
        raise UserError(f"k has {ks.shape} cells and the layout {grid}: give one k for each cell, or one for all")
    if wrong := [int(k) for k in (ks.min(), ks.max()) if not 0 <= k <= limit]:
        raise UserError(f"k = {wrong[0]}: the adapter and its layouts hold 0..{limit} components")


def guided(options: SamplerOptions, requests: Sequence[Request]) -> SamplerOptions:
    """The options with the guidance scale of the requests of one batch; UserError if they have several."""
    scales = {request.guidance_scale for request in requests}
    if len(scales) > 1:
        raise UserError(f"requests of one batch have the guidance scales {scales}: give all of them one")
    scale = scales.pop()
    return options if scale is None else options.model_copy(update={"guidance_scale": scale})


def stacked_ks(requests: Sequence[Request]) -> torch.Tensor:
    """The ks `int64 [B]` of the requests, or `int64 [B, h, w]` if one of them has a k for each cell."""
    if all(np.ndim(request.k) == 0 for request in requests):
        return torch.tensor([int(request.k) for request in requests])
    cells = [np.broadcast_to(np.asarray(request.k, np.int64), request.layout.shape[1:]) for request in requests]
    return torch.from_numpy(np.stack(cells))


def stacked_strengths(requests: Sequence[Request], factor: float) -> torch.Tensor | None:
    """The strengths of the requests times a factor, `float32 [B]` or `[B, h, w]`; None if all are 1.

    Raises:
        UserError: a strength is below 0 or not finite, or there is not one for each cell.
    """
    for request in requests:
        values, grid = np.asarray(request.strength), request.layout.shape[1:]
        if values.ndim and values.shape != grid:
            raise UserError(f"strength has {values.shape} cells and the layout {grid}: give one for each cell or one")
        if not np.isfinite(values).all() or values.min() < 0:
            raise UserError(f"strength = {values.min()}: give 0 or more")
    if all(np.ndim(request.strength) == 0 for request in requests):
        found = torch.tensor([float(request.strength) for request in requests]) * factor
        return None if (found == 1).all() else found
    cells = [np.broadcast_to(np.asarray(one.strength, np.float32), one.layout.shape[1:]) for one in requests]
    return torch.from_numpy(np.stack(cells)) * factor
