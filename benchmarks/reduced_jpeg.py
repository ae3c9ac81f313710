"""How much faster `shard` reads and resizes photographs if it decodes JPEG files at a reduced size.

Mosaics of CamVid photographs are saved as JPEG of quality 90. One process on one core reads and resizes all of them, in
turns with full decodes and with reduced ones. Samples a second are of CPU time, medians of the rounds.

    python benchmarks/reduced_jpeg.py --root CAMVID
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from measuring import command_line
from PIL import Image

from pipeline.datasets import Geometry, open_dataset
from pipeline.stages import dataset_source
from pipeline.store import Sample

# Height and width of a photograph and of its sample: BDD100K at two sizes, and larger cameras.
CASES = (((720, 1280), (288, 512)), ((720, 1280), (176, 320)), ((1440, 2560), (288, 512)), ((3000, 4000), (360, 480)))
QUALITY = 90


def photographs(source: Path, folder: Path, count: int, size: tuple[int, int]) -> None:
    """Write a plain folder of JPEG images of this height and width, each a mosaic of other CamVid photographs."""
    dataset = open_dataset("camvid", source)
    records = dataset.records("train")
    height, width = size
    for number in range(count):
        images = (dataset.load(record).image for record in islice(cycle(records), number, None))
        rows, total = [], 0
        while total < height:
            row, across = [], 0
            while across < width:
                row.append(next(images))
                across += row[-1].shape[1]
            rows.append(np.concatenate(row, axis=1)[:, :width])
            total += rows[-1].shape[0]
        (folder / "images/train").mkdir(parents=True, exist_ok=True)
        whole = Image.fromarray(np.concatenate(rows)[:height])
        whole.save(folder / f"images/train/{number:04d}.jpg", quality=QUALITY)


def rate(folder: Path, geometry: Geometry) -> float:
    """Samples that are read and resized in a second of CPU time."""
    source = dataset_source.DatasetSource("folder", str(folder), geometry=geometry)
    [unit] = dataset_source.plan_units({"train": open_dataset("folder", folder).records("train")}, 1 << 20, geometry)
    started = time.process_time()
    samples = sum(isinstance(sample, Sample) for sample in source.read(unit))
    return samples / (time.process_time() - started)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="CamVid")
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    print("| photograph | sample | decoded at | full, samples/s | reduced, samples/s | ratio |")
    print("|---|---|---:|---:|---:|---:|")
    for size, shape in CASES:
        with tempfile.TemporaryDirectory() as name:
            folder, reduced = Path(name), Geometry(height=shape[0], width=shape[1])
            photographs(options.root, folder, options.samples, size)
            dataset = open_dataset("folder", folder)
            decoded = dataset.load(dataset.records("train")[0], reduced.at_least).reduction
            rounds = [
                (rate(folder, reduced.model_copy(update={"reduced_jpeg": False})), rate(folder, reduced))
                for _ in range(options.rounds)
            ]
        full, less = (statistics.median(rates) for rates in zip(*rounds, strict=True))
        sizes = " | ".join(f"{width} x {height}" for height, width in (size, shape))
        print(f"| {sizes} | 1/{decoded} | {full:.1f} | {less:.1f} | {less / full:.2f} |")


if __name__ == "__main__":
    main()
