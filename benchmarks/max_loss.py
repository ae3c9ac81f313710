"""What `generator.max_loss` chooses for lumen-tiny, and what it costs on images that the calibration has not seen.

All times are CPU times of one thread, so that other work on the machine does not count.

python benchmarks/max_loss.py --images 8 --unseen 16
"""

from __future__ import annotations

import time

import numpy as np
import torch
from measuring import command_line
from numpy.typing import NDArray

from augment.lumen.model import Lumen
from augment.lumen.sampling import calibration
from augment.lumen.sampling.calibration import best_of, timed, trials
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from pipeline.scenes import render_scene

HEIGHT, WIDTH, BATCH = 96, 192, 8


def main() -> None:
    """Measure and print the table."""
    parser = command_line(__doc__)
    parser.add_argument("--images", type=int, default=8, help="of the calibration")
    parser.add_argument("--unseen", type=int, default=16)
    parser.add_argument("--max-losses", type=float, nargs="+", default=[0.5, 1, 2, 4])
    options = parser.parse_args()
    torch.set_num_threads(1)
    calibration.monotonic = time.process_time
    lumen = Lumen.load(options=SamplerOptions(precision="fp32"))
    requests = []
    for number in range(options.images + options.unseen):
        layout = lumen.layout(render_scene(number, HEIGHT, WIDTH).image)
        requests.append(Request(layout, (5, 20)[number % 2], "a rendered street, day", number))

    def painted(sampling: SamplerOptions, asked: list[Request]) -> list[NDArray[np.uint8]]:
        sampler = LayoutSampler(lumen.sampler.base, lumen.sampler.adapter, sampling)
        return [image for i in range(0, len(asked), BATCH) for image in sampler.generate(asked[i : i + BATCH])]

    seen, unseen = requests[: options.images], requests[options.images :]
    exact = SamplerOptions(precision="fp32")
    print("| max_loss | steps | adapter | blocks | guidance until | loss, unseen | speed | calibration, s |")
    print("| ---: |" + " ---: |" * 7)
    for max_loss in options.max_losses:
        begun = time.process_time()
        found = trials(lambda way: painted(way, seen), exact, max_loss, has_blocks=True, seconds=60)
        took = time.process_time() - begun
        best = best_of(found)
        # One after the other, because the speed of a busy machine changes.
        expected, exact_seconds = timed(lambda: painted(exact, unseen))
        images, seconds = timed(lambda way=best.options: painted(way, unseen))
        loss = np.mean([np.abs(one.astype(int) - other).mean() for one, other in zip(images, expected, strict=True)])
        way = best.options
        cells = (max_loss, way.num_steps, way.reuse_adapter, way.reuse_blocks, way.guidance_interval[1])
        print(
            f"| {' | '.join(map(str, cells))} | {loss:.2f} | {exact_seconds / seconds:.2f}x | {took:.0f} |", flush=True
        )


if __name__ == "__main__":
    main()
