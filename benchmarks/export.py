"""How fast `lumen export` writes each format, beside reading the store's members alone, the limit.

All loops take turns over the same store of CamVid photographs with their labels, in as many threads as an export has:
read every member and forget it; read them, and encode the two label files that Cityscapes wants, and the image where it
is no PNG; and the export itself, in each format, from the opening of the store to the last file.

    python benchmarks/export.py --root ../shared/data/camvid
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.datasets import open_dataset
from pipeline.export import FORMATS, FormatName, export_store
from pipeline.export.cityscapes import label_files
from pipeline.stages.dataset_source import DatasetSource, sample_of
from pipeline.store import Manifest, SampleReader, Store, taxonomy_of
from pipeline.store.codec import LABEL, ImageFormat, encode_image

READ_ONLY = "read only"
FORMATS_STORED: tuple[ImageFormat, ...] = ("png", "jpg")
SAMPLES_PER_SHARD = 64


def build(root: Path, url: str, image_format: ImageFormat, count: int) -> int:
    """Write a store of CamVid photographs with their labels at their own size; returns how many."""
    dataset, source = open_dataset("camvid", root), DatasetSource("camvid", str(root))
    records = dataset.records("train")[:count]
    store = Store.create(url, Manifest("real", "camvid", {}, {}, image_format))
    for start in range(0, len(records), SAMPLES_PER_SHARD):
        samples = [
            sample_of(record.key, dataset.load(record), source.metadata(dataset, record))
            for record in records[start : start + SAMPLES_PER_SHARD]
        ]
        store.write_shard(f"train-{start // SAMPLES_PER_SHARD:06d}", samples)
    return len(records)


def read_only(url: str, _folder: Path) -> None:
    """Read all members of every sample, and forget them."""
    reader = SampleReader(Store.open(url))
    each(reader.read_members, reader.keys)


def encode_png(url: str, _folder: Path) -> None:
    """Read every sample, encode the PNG files that Cityscapes wants of it, and forget them."""
    store = Store.open(url)
    # An image that is PNG already is copied.
    reader = SampleReader(store, (LABEL,) if store.manifest.image_format == "png" else None)
    taxonomy = taxonomy_of(store.manifest)

    def encode_one(key: str) -> None:
        sample = reader.read(key)
        assert taxonomy is not None
        images = [] if sample.image is None else [sample.image]
        for array in (*images, *label_files(sample, taxonomy).values()):
            encode_image(array, "png")

    each(encode_one, reader.keys)


def each(work: Callable[[str], object], keys: Iterable[str]) -> None:
    """Do the work for each key, in as many threads as an export has."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _ in pool.map(work, keys):
            pass


def export_to(name: FormatName) -> Callable[[str, Path], object]:
    """What `lumen export` does, from opening the store to the last file."""
    return lambda url, folder: export_store(url, str(folder / "out"), name)


LOOPS: dict[str, Callable[[str, Path], object]] = {
    READ_ONLY: read_only,
    "read, encode as cityscapes": encode_png,
    **{f"export, {name}": export_to(name) for name in FORMATS},
}


def measure(url: str, samples: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Median samples a second of each loop, in turns, by CPU time of all threads and by wall time."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in LOOPS}
    # The first round loads libraries.
    for round_number in range(rounds + 1):
        for name, loop in LOOPS.items():
            with tempfile.TemporaryDirectory() as folder:
                wall, cpu = time.perf_counter(), time.process_time()
                loop(url, Path(folder))
                if round_number:
                    times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {
        name: (samples / statistics.median(t[0] for t in found), samples / statistics.median(t[1] for t in found))
        for name, found in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--root", type=Path, required=True, help="CamVid")
    parser.add_argument("--samples", type=int, default=192, help="at most so many, in shards of 64")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print("| store | loop | samples/s of CPU time | of read only | samples/s of wall time |\n|---|---|---:|---:|---:|")
    for image_format in FORMATS_STORED:
        with tempfile.TemporaryDirectory() as folder:
            samples = build(options.root, folder, image_format, options.samples)
            rates = measure(folder, samples, options.rounds)
        for name, (cpu, wall) in rates.items():
            share = cpu / rates[READ_ONLY][0]
            print(f"| {image_format} | {name} | {cpu:.0f} | {share:.0%} | {wall:.0f} |", flush=True)


if __name__ == "__main__":
    main()
