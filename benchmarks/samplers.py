"""How near each setting of the sampler comes to the limit of many steps, and how well its images follow the layout.

Validation images are painted on their own layouts, with the same noise at each setting. The distance is the mean
difference to the images of the limit, in grey levels of 255. The alignment is the share of the variance of the layout
asked for that the layout of the painted image explains, over the first k components: 1 follows it exactly. The Frechet
distance compares the cells of the layouts of all painted images with those of the real ones: 0 is the same
distribution.

    python benchmarks/samplers.py --root CAMVID
    python benchmarks/samplers.py --root CAMVID --settings "scheduler=unipc num_steps=8" "guidance_interval=0.2,0.8"
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from layout_fidelity import BATCH, layouts_of, read
from measuring import command_line
from numpy.typing import NDArray

from augment.lumen.model import Lumen
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from pipeline.datasets import Geometry

STEPS = (4, 6, 8, 10, 12, 20, 30)
SOLVERS = ("ddim", "euler", "dpmsolver++", "unipc")


def parsed(setting: str) -> dict[str, Any]:
    """The options in a text such as `num_steps=8 guidance_interval=0.2,0.8`."""
    pairs = [pair.split("=") for pair in setting.split()]
    return {name: value.split(",") if "," in value else value for name, value in pairs}


def paint(
    lumen: Lumen,
    options: SamplerOptions,
    layouts: NDArray[np.float16],
    ks: Sequence[int],
    captions: Sequence[str],
) -> NDArray[np.uint8]:
    """One image for every layout and k, `uint8 [len(ks), N, H, W, 3]`."""
    sampler = LayoutSampler(lumen.sampler.base, lumen.sampler.adapter, options)
    requests = [
        Request(layout, k, text, seed=index)
        for k in ks
        for index, (layout, text) in enumerate(zip(layouts, captions, strict=True))
    ]
    images = [image for i in range(0, len(requests), BATCH) for image in sampler.generate(requests[i : i + BATCH])]
    return np.stack(images).reshape(len(ks), len(layouts), *images[0].shape)


def alignment(found: NDArray[np.float64], asked: NDArray[np.float64], k: int) -> float:
    """Share of the variance of the first k components asked for that the layouts found explain."""
    wanted = asked[:, :k]
    return float(1 - ((found[:, :k] - wanted) ** 2).sum() / (wanted**2).sum())


def frechet(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Frechet distance of normal distributions of the cells of layouts `[N, K, h, w]`."""
    cells = [layouts.transpose(0, 2, 3, 1).reshape(-1, layouts.shape[1]) for layouts in (one, other)]
    (mean, cov), (mean_other, cov_other) = [(part.mean(0), np.cov(part.T)) for part in cells]
    root = np.sqrt(np.linalg.eigvals(cov @ cov_other).real.clip(0)).sum()
    return float(((mean - mean_other) ** 2).sum() + np.trace(cov + cov_other) - 2 * root)


def main() -> None:
    """Measure and print a table."""
    parser = command_line(__doc__)
    parser.add_argument("--dataset", choices=("camvid", "cityscapes"), default="camvid")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--ks", type=int, nargs="+", default=[5, 20])
    parser.add_argument(
        "--settings", nargs="+", default=[f"scheduler={s} num_steps={n}" for s in SOLVERS for n in STEPS]
    )
    parser.add_argument("--limit", default="scheduler=ddim num_steps=200", help="setting to compare with")
    parser.add_argument("--common", default="guidance_scale=1.5 precision=fp32", help="what all settings share")
    options = parser.parse_args()

    lumen = Lumen.load("lumen-tiny")
    geometry = Geometry(height=options.height, width=options.width)
    images, _, captions = read(options.dataset, options.root, "val", geometry, options.images)
    layouts = layouts_of(lumen, images)
    ks, asked = options.ks, layouts.astype(np.float64)
    limit = None
    print("| setting | " + " | ".join(f"k = {k}: distance | alignment | Frechet" for k in ks) + " |")
    print("|---|" + "---:|" * 3 * len(ks))
    for setting in (options.limit, *options.settings):
        chosen = SamplerOptions.model_validate(parsed(f"{options.common} {setting}"))
        painted = paint(lumen, chosen, layouts, ks, captions).astype(np.float32)
        limit = painted if limit is None else limit
        cells = []
        for found, wanted, k in zip(painted, limit, ks, strict=True):
            layouts_found = layouts_of(lumen, list(found.astype(np.uint8))).astype(np.float64)
            values = np.abs(found - wanted).mean(), alignment(layouts_found, asked, k), frechet(layouts_found, asked)
            cells.append("{:.2f} | {:.4f} | {:.2f}".format(*values))
        print(f"| {setting} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
