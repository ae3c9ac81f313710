"""What reuse across steps saves and costs, and its share of the work of Stable Diffusion 1.5.

Paints rendered streets with lumen-tiny, exactly and with reuse. The loss is the mean absolute difference to the exact
images in grey levels; the layout error is the root mean square, over cells and components, of the difference between
the layout of the painted image and the one asked for, in standard deviations. The work of Stable Diffusion is counted
in multiplications at 512 x 1024, without running it.

    python benchmarks/reuse.py --images 8
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from measuring import command_line
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from augment.lumen.adapter import LayoutControlNet
from augment.lumen.bases.text import Text
from augment.lumen.model import Lumen
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from augment.lumen.sampling.reuse import keeping, kept
from pipeline.scenes import render_scene

HEIGHT, WIDTH = 96, 192
# The steps that the adapter, and the deep blocks, serve.
REUSE = ((1, 1), (2, 1), (3, 1), (5, 1), (2, 2), (3, 3), (5, 5), (3, 2))
# The share of the steps that is left out instead.
FEWER = [((1, 1), share) for share in (1 / 6, 1 / 3, 1 / 2)]


def requests(lumen: Lumen, count: int) -> list[Request]:
    """Rendered streets to paint, half of them at few components."""
    layouts = [lumen.layout(render_scene(number, HEIGHT, WIDTH).image) for number in range(count)]
    return [Request(layout, (5, 20)[i % 2], "a rendered street, day", i) for i, layout in enumerate(layouts)]


def layout_error(lumen: Lumen, images: Sequence[NDArray[np.uint8]], asked: Sequence[Request]) -> float:
    """How far the layouts of images are from those that they were painted on, for the components that they follow."""
    squares = []
    for image, request in zip(images, asked, strict=True):
        found = lumen.layout(image)[: request.k].astype(np.float64)
        squares.append(np.square(found - request.layout[: request.k]).mean())
    return float(np.sqrt(np.mean(squares)))


def work_of_stable_diffusion() -> tuple[float, float, float]:
    """Multiplications for one sample in units of 10^12: of the U-Net, of that with kept blocks, and of the adapter."""
    with torch.device("meta"):
        network = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        adapter = LayoutControlNet.from_base(network, 20)
        latents, steps, text = torch.empty(1, 4, 64, 128), torch.empty(1), torch.empty(1, 77, 768)
        layout, k = torch.empty(1, 20, 64, 128), torch.empty(1)
    blocks = [*network.down_blocks[1:], network.mid_block, *network.up_blocks[:-1]]
    outputs: list[object] = []

    def counted(run) -> float:
        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops() / 2e12

    with keeping(blocks, outputs):
        whole = counted(lambda: network(latents, steps, text))
    with kept(blocks, outputs):
        shallow = counted(lambda: network(latents, steps, text))
    return whole, shallow, counted(lambda: adapter(latents, steps, Text(text), layout, k))


def work_of(options: SamplerOptions, work: tuple[float, float, float]) -> float:
    """Multiplications for an image, with the adapter in one branch of guidance."""
    whole, shallow, adapter = work
    first, last = options.guidance_interval
    total, since, before = 0.0, 0, False
    for step in range(options.num_steps):
        guides = first <= step / options.num_steps <= last
        since, before = (since if guides == before else 0), guides
        total += (1 + guides) * (shallow if since % options.reuse_blocks else whole)
        total += 0 if since % options.reuse_adapter else adapter
        since += 1
    return total


def main() -> None:
    """Measure and print the table."""
    parser = command_line(__doc__)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--schedulers", nargs="+", default=["ddim:20", "unipc:8"], help="each with its steps")
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = work_of_stable_diffusion()
    print("U-Net {:.2f}, with kept blocks {:.2f}, adapter {:.2f} x 10^12 multiplications".format(*work))
    lumen = Lumen.load(options=SamplerOptions(precision="fp32"))
    asked = requests(lumen, options.images)
    print("| scheduler | adapter | blocks | loss | layout error | CPU s an image | of exact | Stable Diffusion |")
    print("| --- |" + " ---: |" * 7)
    for item, (reuse, fewer) in itertools.product(options.schedulers, [*((one, 0) for one in REUSE), *FEWER]):
        name, _, steps = item.partition(":")
        count = int(steps or 8)
        values = {"scheduler": name, "num_steps": count - round(fewer * count), "precision": "fp32"}
        sampling = SamplerOptions.model_validate({**values, "reuse_adapter": reuse[0], "reuse_blocks": reuse[1]})
        sampler = LayoutSampler(lumen.sampler.base, lumen.sampler.adapter, sampling)
        begun = time.process_time()
        images = [image for start in range(0, len(asked), 4) for image in sampler.generate(asked[start : start + 4])]
        seconds = (time.process_time() - begun) / len(asked)
        if reuse == (1, 1) and not fewer:
            exact, exact_seconds, exact_work = images, seconds, work_of(sampling, work)
        loss = np.mean([np.abs(one.astype(int) - other).mean() for one, other in zip(images, exact, strict=True)])
        cells = (f"{name}, {sampling.num_steps} steps", *map(str, reuse), f"{loss:.2f}")
        error = f"{layout_error(lumen, images, asked):.3f}"
        shares = f"{seconds / exact_seconds:.2f}", f"{work_of(sampling, work) / exact_work:.2f}"
        print("| " + " | ".join((*cells, error, f"{seconds:.2f}", *shares)) + " |", flush=True)


if __name__ == "__main__":
    main()
