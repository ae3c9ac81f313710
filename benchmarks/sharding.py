"""How fast large labelled PNG images become shards of half their size, on one core and on two, compared with decoding.

Four loops take turns over the same files, pinned to one core or two: only decode image and label (one limit), only
encode resized samples (the other limit), decode, resize and encode in a thread for each core, and the stage `shard` on
Ray with a worker for each core.

    python benchmarks/sharding.py                                      rendered scenes
    python benchmarks/sharding.py --root CAMVID                         mosaics of photographs
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measuring import command_line, in_threads
from PIL import Image

from pipeline.datasets import Dataset, Geometry, Record, open_dataset
from pipeline.engine import ErrorBudget, Resources, make_executor, run_store_stage
from pipeline.engine.ray_cluster import start_local
from pipeline.scenes import write_dataset
from pipeline.stages import dataset_source, shard
from pipeline.store import Manifest, Sample, Store
from pipeline.store.codec import encode

HEIGHT, WIDTH = 1024, 2048
GEOMETRY = Geometry(height=HEIGHT // 2, width=WIDTH // 2)


def photographs(source: Path, root: Path, count: int) -> None:
    """Write a CamVid folder of PNG images of 2048 x 1024, each a mosaic of photographs with their labels."""
    dataset = open_dataset("camvid", source)
    records = dataset.records("train")
    for number in range(count):
        frames = [dataset.load(records[(number + i) % len(records)]) for i in range(15)]
        for folder, planes in (("train", [f.image for f in frames]), ("trainannot", [f.label for f in frames])):
            rows = [np.concatenate(planes[start : start + 5], axis=1) for start in (0, 5, 10)]  # type: ignore[arg-type]
            whole = np.concatenate(rows)[:HEIGHT, :WIDTH]
            (root / folder).mkdir(parents=True, exist_ok=True)
            # Files have 11 for pixels that the reader ignores.
            Image.fromarray(np.where(whole == 255, 11, whole) if folder == "trainannot" else whole).save(
                root / folder / f"{number:04d}.png"
            )


@dataclass
class Bench:
    """The files, and the same samples at the working size."""

    root: Path
    dataset: Dataset
    records: list[Record]
    source: dataset_source.DatasetSource
    samples: list[Sample]

    @classmethod
    def of(cls, root: Path, kind: str) -> Bench:
        """Read everything once, so that no loop reads from a cold disk."""
        dataset = open_dataset(kind, root)
        records, source = dataset.records("train"), dataset_source.DatasetSource(kind, str(root), geometry=GEOMETRY)
        [unit] = dataset_source.plan_units({"train": records}, len(records), GEOMETRY)
        return cls(root, dataset, records, source, [item for item in source.read(unit) if isinstance(item, Sample)])

    def decode_only(self, cores: int) -> None:
        """Decode image and label."""
        in_threads(self.dataset.load, self.records, cores)

    def encode_only(self, cores: int) -> None:
        """Encode samples of the working size."""
        in_threads(lambda sample: encode(sample, "png"), self.samples, cores)

    def one_by_one(self, cores: int) -> None:
        """Decode, resize and encode one sample after another, in a thread for each core."""

        def whole(record: Record) -> None:
            [unit] = dataset_source.plan_units({"train": [record]}, 1, GEOMETRY)
            for item in self.source.read(unit):
                assert isinstance(item, Sample)
                encode(item, "png")

        in_threads(whole, self.records, cores)

    def stage(self, workers: int) -> float:
        """Samples a second of the stage on Ray, with tar, index and receipts.

        A pool takes seconds to start, so the time of the first quarter of the samples is subtracted.
        """
        work = shard.Shard(Resources(workers=workers, threads=1), batch_size=8)
        units = dataset_source.plan_units({"train": self.records}, max(1, len(self.records) // 12), GEOMETRY)
        few = units[: len(units) // 4]
        seconds = []
        for chosen in (few, units):
            with tempfile.TemporaryDirectory() as folder:
                size = {"height": GEOMETRY.height, "width": GEOMETRY.width}
                assert self.dataset.taxonomy is not None
                store = Store.create(folder, Manifest("real", self.dataset.taxonomy.name, size))
                started = time.perf_counter()
                run_store_stage(work, self.source, store, chosen, make_executor("ray"), ErrorBudget(), lambda _: None)
                seconds.append(time.perf_counter() - started)
        count = sum(len(unit.keys) for unit in units) - sum(len(unit.keys) for unit in few)
        return count / (seconds[1] - seconds[0])


def measure(bench: Bench, cores: int, rounds: int) -> dict[str, float]:
    """Median samples a second of each loop, in turns, by wall time."""
    loops = {
        "decode only": bench.decode_only,
        "encode only": bench.encode_only,
        "decode, resize, encode": bench.one_by_one,
    }
    rates: dict[str, list[float]] = {}
    start_local(cores + 1, coreless=1)
    for _ in range(rounds):
        for name, loop in loops.items():
            started = time.perf_counter()
            loop(cores)
            rates.setdefault(name, []).append(len(bench.records) / (time.perf_counter() - started))
        rates.setdefault("shard, on Ray", []).append(bench.stage(cores))
    return {name: statistics.median(found) for name, found in rates.items()}


def measured(options: argparse.Namespace, root: Path, kind: str, cores: int) -> dict[str, float]:
    """`measure` in a process of its own, which is pinned to this number of cores with all its children."""
    available = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, available[:cores])
    command = [sys.executable, __file__, "--folder", str(root), "--kind", kind, "--rounds", str(options.rounds)]
    try:
        output = subprocess.run([*command, "--cores", str(cores)], check=True, stdout=subprocess.PIPE).stdout
    finally:
        os.sched_setaffinity(0, available)
    found: dict[str, float] = json.loads(output)
    return found


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, help="CamVid; without it scenes are rendered")
    parser.add_argument("--samples", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kind", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(measure(Bench.of(options.folder, options.kind), options.cores[0], options.rounds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if options.root:
            photographs(options.root, root, options.samples)
        else:
            write_dataset(root, {"train": options.samples, "val": 0}, seed=0, height=HEIGHT, width=WIDTH, workers=1)
        kind = "camvid" if options.root else "cityscapes"
        found = {cores: measured(options, root, kind, cores) for cores in options.cores}
    print(f"{options.samples} samples, {WIDTH} x {HEIGHT} to {GEOMETRY.width} x {GEOMETRY.height}, median of rounds\n")
    print("| cores | loop | samples/s | of decode only |")
    print("|---:|---|---:|---:|")
    for cores, rates in found.items():
        for name, rate in rates.items():
            print(f"| {cores} | {name} | {rate:.1f} | {rate / rates['decode only']:.0%} |")


if __name__ == "__main__":
    main()
