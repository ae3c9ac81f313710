"""How fast large labelled PNG become shards of half their size, on one core and on two, beside decoding alone.

Four loops take turns over the same files, each pinned to as many cores as it says: decode image and label and forget
them (one limit), encode what is resized already (the other), all of it sample by sample, and the stage `shard` as a
worker runs it, with its threads.

    python benchmarks/sharding.py                                      rendered scenes
    python benchmarks/sharding.py --root ../shared/data/camvid         photographs, laid side by side
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.datasets import Dataset, Geometry, Record, open_dataset
from pipeline.engine import ErrorBudget, Resources, make_executor, run_store_stage
from pipeline.scenes import write_dataset
from pipeline.stages import shard
from pipeline.store import Manifest, Sample, Store
from pipeline.store.codec import encode

HEIGHT, WIDTH = 1024, 2048
GEOMETRY = Geometry(HEIGHT // 2, WIDTH // 2)


def photographs(source: Path, root: Path, count: int) -> None:
    """A CamVid folder of PNG 2048 x 1024, each laid out with other photographs and their labels at their own size."""
    dataset = open_dataset("camvid", source)
    records = dataset.records("train")
    for number in range(count):
        frames = [dataset.load(records[(number + i) % len(records)]) for i in range(15)]
        for folder, planes in (("train", [f.image for f in frames]), ("trainannot", [f.label for f in frames])):
            rows = [np.concatenate(planes[start : start + 5], axis=1) for start in (0, 5, 10)]  # type: ignore[arg-type]
            whole = np.concatenate(rows)[:HEIGHT, :WIDTH]
            (root / folder).mkdir(parents=True, exist_ok=True)
            # The reader's ignored pixels go back to the index that the files have for them.
            Image.fromarray(np.where(whole == 255, 11, whole) if folder == "trainannot" else whole).save(
                root / folder / f"{number:04d}.png"
            )


@dataclass
class Bench:
    """Files, and the same samples at the working size."""

    root: Path
    dataset: Dataset
    records: list[Record]
    source: shard.DatasetSource
    samples: list[Sample]

    @classmethod
    def of(cls, root: Path, kind: shard.DatasetKind) -> Bench:
        """Everything read once, so that no loop meets a cold disk."""
        dataset = open_dataset(kind, root)
        records, source = dataset.records("train"), shard.DatasetSource(kind, str(root), geometry=GEOMETRY)
        [unit] = shard.plan({"train": records}, len(records), GEOMETRY)
        return cls(root, dataset, records, source, [item for item in source.read(unit) if isinstance(item, Sample)])

    def decode_only(self, cores: int) -> None:
        """Decode image and label, and forget them."""
        in_threads(self.dataset.load, self.records, cores)

    def encode_only(self, cores: int) -> None:
        """Encode samples of the working size, and forget the bytes."""
        in_threads(lambda sample: encode(sample, "png"), self.samples, cores)

    def one_by_one(self, cores: int) -> None:
        """Decode, resize and encode one sample after another, in as many threads as there are cores."""

        def whole(record: Record) -> None:
            [unit] = shard.plan({"train": [record]}, 1, GEOMETRY)
            for item in self.source.read(unit):
                assert isinstance(item, Sample)
                encode(item, "png")

        in_threads(whole, self.records, cores)

    def stage(self, cores: int) -> None:
        """The stage, in one worker of so many cores, with tar, index and receipts."""
        units = shard.plan({"train": self.records}, max(1, len(self.records) // 4), GEOMETRY)
        work = shard.Shard(Resources(num_cpus=cores), batch_size=8)
        with tempfile.TemporaryDirectory() as folder:
            size = {"height": GEOMETRY.height, "width": GEOMETRY.width}
            assert self.dataset.taxonomy is not None
            store = Store.create(folder, Manifest("real", self.dataset.taxonomy.name, size))
            run_store_stage(work, self.source, store, units, make_executor("serial"), ErrorBudget(), lambda _: None)


def in_threads(work: Callable[..., object], items: Iterable[object], threads: int) -> None:
    """Do the work for each item."""
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, items):
            pass


def measure(bench: Bench, cores: list[int], rounds: int) -> dict[tuple[str, int], tuple[float, float]]:
    """Median samples a second by wall time, and by CPU time, of each loop on each number of cores, in turns."""
    available = sorted(os.sched_getaffinity(0))
    loops = {
        "decode only": bench.decode_only,
        "encode only": bench.encode_only,
        "decode, resize, encode": bench.one_by_one,
        "shard": bench.stage,
    }
    times: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for count in cores:
            os.sched_setaffinity(0, available[:count])
            for name, loop in loops.items():
                wall, cpu = time.perf_counter(), time.process_time()
                loop(count)
                taken = time.perf_counter() - wall, time.process_time() - cpu
                times.setdefault((name, count), []).append(taken)
    os.sched_setaffinity(0, available)
    samples = len(bench.records)
    return {
        case: (samples / statistics.median(t[0] for t in found), samples / statistics.median(t[1] for t in found))
        for case, found in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--root", type=Path, help="CamVid; without it scenes are rendered")
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if options.root:
            photographs(options.root, root, options.samples)
        else:
            write_dataset(root, {"train": options.samples, "val": 0}, seed=0, height=HEIGHT, width=WIDTH, workers=1)
        bench = Bench.of(root, "camvid" if options.root else "cityscapes")
        found = measure(bench, options.cores, options.rounds)
    print(f"{options.samples} samples, {WIDTH} x {HEIGHT} to {GEOMETRY.width} x {GEOMETRY.height}, median of rounds\n")
    print("| cores | loop | samples/s | samples/s of CPU time | of decode only |")
    print("|---:|---|---:|---:|---:|")
    for (name, cores), (wall, cpu) in found.items():
        share = f"{wall / found['decode only', cores][0]:.0%}"
        print(f"| {cores} | {name} | {wall:.1f} | {cpu:.1f} | {share} |")


if __name__ == "__main__":
    main()
