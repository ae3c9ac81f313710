"""How faithful and how varied the regions of some classes are, with one k for the image and with ks by class.

A linear probe on frozen DINOv2 features learns the classes from real training images. In the validation images that are
painted at each setting, the accuracy of the probe on the pixels of a class says how faithful its region is. The mean
difference of pixels (0..1) between two images of one layout says how varied it is.

    python benchmarks/k_by_class.py --root CAMVID --faithful car pedestrian bicyclist pole --free sky road

With --judge, the faithful classes are those that the judge of a workspace does not recognise, as with
`generate.k_by_judge`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from layout_fidelity import BATCH, features_of, layouts_of, read, train_probe
from measuring import command_line
from numpy.typing import NDArray

from augment.layouts.region_ks import RegionKs
from augment.lumen.model import Lumen
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from downstream.results import read_result
from pipeline.datasets import Geometry, open_dataset
from pipeline.stages.judged_ks import unrecognised


@torch.inference_mode()
def predictions(probe: torch.nn.Conv2d, lumen: Lumen, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The classes `[N, H, W]` that the probe sees."""
    parts = []
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        logits = F.interpolate(probe(features_of(lumen.backbone, list(batch))), batch.shape[1:3], mode="bilinear")
        parts.append(logits.argmax(1).numpy())
    return np.concatenate(parts)


def paint(
    lumen: Lumen,
    layouts: NDArray[np.float16],
    ks: Sequence[int | NDArray[np.int64]],
    captions: Sequence[str],
    variant: int,
) -> NDArray[np.uint8]:
    """One image for every layout, `[N, H, W, 3]`."""
    requests = [
        Request(layout, k, text, seed=(variant << 24) + index)
        for index, (layout, k, text) in enumerate(zip(layouts, ks, captions, strict=True))
    ]
    return np.stack(
        [image for i in range(0, len(requests), BATCH) for image in lumen.sampler.generate(requests[i : i + BATCH])]
    )


def main() -> None:
    """Measure and print a table."""
    parser = command_line(__doc__)
    parser.add_argument("--dataset", choices=("camvid", "cityscapes"), default="camvid")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--adapter", type=Path, help="another adapter of lumen-tiny than its own")
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--faithful", nargs="+", help="classes that follow the most components")
    chosen.add_argument("--judge", type=Path, help="folder of a judge; the classes below --below follow the most")
    parser.add_argument("--below", type=float, default=0.5, help="see generate.k_by_judge")
    parser.add_argument("--free", nargs="+", default=[], help="classes that follow the fewest")
    parser.add_argument("--few", type=int, default=1)
    parser.add_argument("--many", type=int, default=20)
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--variants", type=int, default=2)
    parser.add_argument("--limit", type=int, default=None, help="validation images to use")
    parser.add_argument("--num-steps", type=int, default=12)
    options = parser.parse_args()

    geometry = Geometry(height=options.height, width=options.width)
    lumen = Lumen.load("lumen-tiny", options.adapter, options=SamplerOptions(num_steps=options.num_steps))
    names = open_dataset(options.dataset, options.root).taxonomy.classes
    images, labels, _ = read(options.dataset, options.root, "train", geometry, None)
    probe = train_probe(features_of(lumen.backbone, images), np.stack(labels), len(names))
    images, labels, captions = read(options.dataset, options.root, "val", geometry, options.limit)
    truth = np.stack(labels)
    layouts = layouts_of(lumen, images)
    faithful = options.faithful or unrecognised_by(options.judge, options.below)
    named = {"faithful": faithful, "free": options.free}
    groups = {group: np.isin(truth, [names.index(name) for name in part]) for group, part in named.items() if part}
    groups["other"] = (truth != 255) & ~np.logical_or.reduce(list(groups.values()))
    asked = dict.fromkeys(faithful, options.many) | dict.fromkeys(options.free, options.few)
    regions = RegionKs({names.index(name): k for name, k in asked.items()})
    settings: dict[str, Sequence[int | NDArray[np.int64]]] = {
        f"k = {options.few}": [options.few] * len(truth),
        f"k = {options.many}": [options.many] * len(truth),
        f"by class, others {options.few}": [regions.cells(label, options.few) for label in truth],
    }
    if options.free:
        settings[f"by class, others {options.many}"] = [regions.cells(label, options.many) for label in truth]
    shares = ", ".join(f"{name} {mask.mean():.1%}" for name, mask in groups.items())
    print(f"faithful: {', '.join(faithful)}")
    print(f"{len(truth)} images, {options.variants} variants; share of the pixels: {shares}")
    print("| | " + " | ".join(f"{name}: accuracy | {name}: difference" for name in groups) + " |")
    show("real", predictions(probe, lumen, np.stack(images))[None], None, truth, groups)
    for name, ks in settings.items():
        painted = np.stack([paint(lumen, layouts, ks, captions, variant) for variant in range(options.variants)])
        found = np.stack([predictions(probe, lumen, variant) for variant in painted])
        show(name, found, painted, truth, groups)


def unrecognised_by(judge: Path, below: float) -> list[str]:
    """The classes that a judge does not recognise, which must be those of the dataset."""
    result = read_result(judge)
    if result is None:
        raise SystemExit(f"no judge in {judge}: give the folder judge of a workspace that is done up to this stage")
    return unrecognised(result, below)


def show(
    name: str,
    found: NDArray[np.int64],
    painted: NDArray[np.uint8] | None,
    truth: NDArray[np.unsignedinteger],
    groups: Mapping[str, NDArray[np.bool_]],
) -> None:
    """Print a row: accuracy of the probe in each group of classes, and the difference of variants there."""
    cells = []
    for mask in groups.values():
        accuracy = np.mean([(variant[mask] == truth[mask]).mean() for variant in found])
        cells.append(f"{100 * accuracy:.1f} %")
        if painted is None:
            cells.append("")
            continue
        pairs = combinations(painted.astype(np.float32) / 255, 2)
        cells.append(f"{np.mean([np.abs(one - other)[mask].mean() for one, other in pairs]):.3f}")
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
