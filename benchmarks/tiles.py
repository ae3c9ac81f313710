"""Whether the seams of tiles show, and what decoding in tiles changes.

Paints wide rendered streets with lumen-tiny, at once and in tiles. The step over a seam is the mean absolute difference
of the pixels left and right of each edge of a tile, in grey levels, divided by that of all other neighbours; the column
`at once` has the same of the images painted at once, whose content alone makes it differ from 1. Decoding is compared
on random latents with an autoencoder of the shape of Stable Diffusion's in random weights: its largest difference to
decoding at once, and the memory that it adds to the process. Each figure of memory is of a process of its own.

    python benchmarks/tiles.py --height 96 --width 768 --tile 192 --images 4
    python benchmarks/tiles.py --decode
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from measuring import command_line
from numpy.typing import NDArray

from augment.lumen.model import Lumen
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from augment.lumen.sampling.tiling import Tiles
from augment.lumen.tiled_decoder import TiledDecoder
from pipeline.scenes import render_scene

WAYS = ("at once", "tiles", "diffusers")


def step_over(images: Sequence[NDArray[np.uint8]], columns: Sequence[int]) -> float:
    """The mean step between the pixels on both sides of some columns, divided by that between all others."""
    steps = np.mean([np.abs(np.diff(image.astype(float), axis=1)).mean((0, 2)) for image in images], axis=0)
    seams = np.zeros(len(steps), bool)
    seams[[column - 1 for column in columns]] = True
    return float(steps[seams].mean() / steps[~seams].mean())


def seams(height: int, width: int, tile: int, overlaps: Sequence[int], count: int) -> None:
    """Print a row for each overlap."""
    lumen = Lumen.load(options=SamplerOptions(precision="fp32"))
    layouts = [lumen.layout(render_scene(100 + number, height, width).image) for number in range(count)]
    requests = [Request(layout, (5, 20)[i % 2], "a rendered street, day", i) for i, layout in enumerate(layouts)]

    def painted(**options: int) -> list[NDArray[np.uint8]]:
        sampling = SamplerOptions.model_validate({"precision": "fp32", **options})
        return LayoutSampler(lumen.sampler.base, lumen.sampler.adapter, sampling).generate(requests)

    whole = painted()
    print("| overlap | tiles | step over seams | at once |\n| ---: | ---: | ---: | ---: |")
    for overlap in overlaps:
        tiles = Tiles.over(height // 8, width // 8, tile // 8, overlap // 8)
        edges = {8 * left for left in tiles.lefts[1:]} | {8 * (left + tiles.width) for left in tiles.lefts[:-1]}
        cut = step_over(painted(tile=tile, tile_overlap=overlap), sorted(edges))
        print(f"| {overlap} | {len(tiles)} | {cut:.2f} | {step_over(whole, sorted(edges)):.2f} |", flush=True)


@torch.inference_mode()
def decoded(way: str, height: int, width: int, tile: int) -> tuple[NDArray[np.float32], float, float]:
    """Pixels, MiB that decoding added to the process at most, and seconds of CPU time."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    vae = AutoencoderKL(**blocks, block_out_channels=(128, 256, 512, 512), layers_per_block=2).eval()
    latents = torch.randn(1, 4, height // 8, width // 8)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    if way == "tiles":
        pixels = TiledDecoder(vae, tile)(latents)
    else:
        if way == "diffusers":
            vae.enable_tiling()
            vae.tile_sample_min_size, vae.tile_latent_min_size = tile, tile // 8
        pixels = vae.decode(latents).sample
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
    return pixels.numpy(), added, time.process_time() - begun


def main() -> None:
    """Measure and print."""
    parser = command_line(__doc__)
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--tile", type=int, default=192)
    parser.add_argument("--overlaps", type=int, nargs="+", default=[0, 32, 64, 96])
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--decode", action="store_true", help="compare decoding, and paint nothing")
    options = parser.parse_args()
    if not options.decode:
        seams(options.height, options.width, options.tile, options.overlaps, options.images)
        return
    print("| decoded | largest difference, grey levels | mean | MiB | CPU s |\n| --- | ---: | ---: | ---: | ---: |")
    for way in WAYS:
        # A new process for each, because a process never gives its largest size back.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pixels, added, seconds = pool.apply(decoded, (way, options.height, options.width, options.tile))
        if way == WAYS[0]:
            expected = pixels
        apart = 127.5 * np.abs(pixels - expected)
        print(f"| {way} | {apart.max():.3g} | {apart.mean():.3g} | {added:.0f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
