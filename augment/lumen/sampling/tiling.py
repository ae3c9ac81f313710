"""Large images: overlapping tiles that are denoised alone, and agree at every step.

MultiDiffusion, Bar-Tal et al., https://arxiv.org/abs/2302.08113: the latents of the whole image begin as one noise. At
every step each tile is predicted with its part of the layout, and where tiles overlap, their predictions are averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from augment.lumen.transfer import uploaded

if TYPE_CHECKING:
    from augment.lumen.sampling.denoiser import Denoiser

Denoise = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes latents `[B, C, H, W]` and a timestep, and gives the prediction, of the shape of the latents."""


Window = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True)
class Tiles:
    """A grid of overlapping tiles that covers an image, in cells of a layout.

    Attributes:
        tops, lefts: first row of each row of tiles, and first column of each column.
        height, width: of every tile.
        overlap: cells that neighbours share at least.
    """

    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    height: int
    width: int
    overlap: int

    @classmethod
    def over(cls, height: int, width: int, tile: int, overlap: int) -> Tiles:
        """The fewest tiles of side `tile` with this overlap, evenly spread; smaller where the image is."""
        tops, lefts = starts(height, tile, overlap), starts(width, tile, overlap)
        return cls(tops, lefts, min(tile, height), min(tile, width), overlap)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    @property
    def places(self) -> list[tuple[int, int]]:
        """First row and column of each tile."""
        return [(top, left) for top in self.tops for left in self.lefts]

    def window(self, top: int, left: int, factor: int = 1) -> Window:
        """Rows and columns of the tile with this first row and column, or of as many times finer cells."""
        rows, columns = (
            slice(top * factor, (top + self.height) * factor),
            slice(left * factor, (left + self.width) * factor),
        )
        return rows, columns

    def weights(self, factor: int) -> torch.Tensor:
        """The share of each tile in each of its cells, `[N, height * factor, width * factor]`; 1 in sum at every cell.

        Args:
            factor: cells of the result on a side of one cell of the layout.
        """
        rows = shares([top * factor for top in self.tops], self.height * factor, self.overlap * factor)
        columns = shares([left * factor for left in self.lefts], self.width * factor, self.overlap * factor)
        return torch.stack([row[:, None] * column for row in rows for column in columns])


def starts(size: int, tile: int, overlap: int) -> tuple[int, ...]:
    """First cells of the fewest tiles that cover `size` cells, and share at least `overlap` with their neighbours."""
    if size <= tile:
        return (0,)
    count = math.ceil((size - overlap) / (tile - overlap))
    return tuple(round(number * (size - tile) / (count - 1)) for number in range(count))


def shares(first: Sequence[int], length: int, overlap: int) -> torch.Tensor:
    """How much each of overlapping intervals counts at each of its cells, `[N, length]`; 1 in sum at every cell.

    An interval counts fully in its middle, and falls to zero along half a wave over the cells that it shares.
    """
    weights = torch.ones(len(first), length, dtype=torch.float64)
    # A single interval may be shorter.
    overlap = min(overlap, length)
    ramp = torch.sin(math.pi / 2 * (torch.arange(overlap, dtype=torch.float64) + 0.5) / max(overlap, 1)).square()
    weights[1:, :overlap] *= ramp
    weights[:-1, length - overlap :] *= ramp.flip(0)
    total = torch.zeros(first[-1] + length, dtype=torch.float64)
    for start, weight in zip(first, weights, strict=True):
        total[start : start + length] += weight
    parts = [weight / total[start : start + length] for start, weight in zip(first, weights, strict=True)]
    return torch.stack(parts).float()


@dataclass(frozen=True)
class TiledPart:
    """The tiles of one pass.

    Attributes:
        denoise: predicts them.
        cells: the image of each, and its rows and columns of the latents.
        weights: of each, `[N, h, w]`; see `Tiles.weights`.
    """

    denoise: Denoise
    cells: Sequence[tuple[int, Window]]
    weights: torch.Tensor


@dataclass(frozen=True)
class TiledDenoiser:
    """Predicts the latents of large images tile by tile."""

    parts: Sequence[TiledPart]

    def __call__(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The prediction, `float32` of the shape of the latents."""
        total = torch.zeros_like(latents, dtype=torch.float32)
        for part in self.parts:
            cells = [(image, slice(None), *window) for image, window in part.cells]
            predictions = part.denoise(torch.stack([latents[cell] for cell in cells]), timestep)
            for cell, prediction, weight in zip(cells, predictions, part.weights, strict=True):
                total[cell] += prediction.float() * weight
        return total


def tiled(
    denoiser: Denoiser, tiles: Tiles, factor: int, wrap: Callable[[Denoiser], Denoise] = lambda one: one
) -> Denoise:
    """What predicts the latents of a batch in tiles, as many at once as the batch has images; with one tile, at once.

    Args:
        denoiser: of the whole images.
        tiles: in cells of the layout.
        factor: cells of the latents on a side of one cell of the layout.
        wrap: applied to what predicts the tiles of one pass.
    """
    if len(tiles) == 1:
        return wrap(denoiser)
    images = len(denoiser.layout)
    weights = tiles.weights(factor)
    every = [(image, number) for image in range(images) for number in range(len(tiles))]
    parts = []
    for start in range(0, len(every), images):
        chosen = every[start : start + images]
        places = [(image, tiles.places[number]) for image, number in chosen]
        parts.append(
            TiledPart(
                wrap(of_tiles(denoiser, [(image, tiles.window(*place)) for image, place in places])),
                [(image, tiles.window(*place, factor)) for image, place in places],
                uploaded(weights[[number for _, number in chosen]], denoiser.layout.device),
            )
        )
    return TiledDenoiser(parts)


def of_tiles(denoiser: Denoiser, cells: Sequence[tuple[int, Window]]) -> Denoiser:
    """The denoiser of some tiles, each with the conditions of its image and its part of the layout.

    Args:
        denoiser: of the whole images.
        cells: the image of each tile, and its rows and columns of the layout.
    """
    images = [image for image, _ in cells]

    def chosen(values: torch.Tensor) -> torch.Tensor:
        """Of values `[B]` those of the images, of values `[B, ..., h, w]` those of the tiles."""
        if values.ndim == 1:
            return values[images]
        return torch.stack([values[image][(..., *window)] for image, window in cells])

    return replace(
        denoiser,
        layout=chosen(denoiser.layout),
        k=chosen(denoiser.k),
        text=denoiser.text[images],
        negative=None if denoiser.negative is None else denoiser.negative[images],
        strength=None if denoiser.strength is None else chosen(denoiser.strength),
    )
