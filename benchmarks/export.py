"""How fast `lumen export` writes each format, compared with only reading the members of the store, the limit.

All loops take turns over the same store of CamVid photographs with their labels, in as many threads as an export has:
read all members; read them and encode the two label files of the Cityscapes format, and the image if it is no PNG; and
the export itself in each format, from opening the store to the last file.

    python benchmarks/export.py --root CAMVID
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measuring import command_line, in_threads, rates_in_turns

from pipeline.datasets import open_dataset
from pipeline.export import FORMATS, FormatName, export_store
from pipeline.export.cityscapes import label_files
from pipeline.stages.dataset_source import DatasetSource, sample_of
from pipeline.store import Manifest, SampleReader, Store, taxonomy_of
from pipeline.store.codec import LABEL, ImageFormat, encode_image

READ_ONLY = "read only"
FORMATS_STORED: tuple[ImageFormat, ...] = ("png", "jpg")
SAMPLES_PER_SHARD = 64
# As many as an export has.
THREADS = os.cpu_count() or 1


def build(root: Path, url: str, image_format: ImageFormat, count: int) -> int:
    """Write a store of CamVid photographs with their labels at full size; returns their number."""
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
    """Read all members of every sample."""
    reader = SampleReader(Store.open(url))
    in_threads(reader.read_members, reader.keys, THREADS)


def encode_png(url: str, _folder: Path) -> None:
    """Read every sample and encode its PNG files of the Cityscapes format."""
    store = Store.open(url)
    # The export copies an image that is a PNG.
    reader = SampleReader(store, (LABEL,) if store.manifest.image_format == "png" else None)
    taxonomy = taxonomy_of(store.manifest)

    def encode_one(key: str) -> None:
        sample = reader.read(key)
        assert taxonomy is not None
        images = [] if sample.image is None else [sample.image]
        for array in (*images, *label_files(sample, taxonomy).values()):
            encode_image(array, "png")

    in_threads(encode_one, reader.keys, THREADS)


def export_to(name: FormatName) -> Callable[[str, Path], object]:
    """The work of `lumen export`, from opening the store to the last file."""
    return lambda url, folder: export_store(url, str(folder / "out"), name)


LOOPS: dict[str, Callable[[str, Path], object]] = {
    READ_ONLY: read_only,
    "read, encode as cityscapes": encode_png,
    **{f"export, {name}": export_to(name) for name in FORMATS},
}


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="CamVid")
    parser.add_argument("--samples", type=int, default=192, help="at most, in shards of 64")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print("| store | loop | samples/s of CPU time | of read only | samples/s of wall time |\n|---|---|---:|---:|---:|")
    for image_format in FORMATS_STORED:
        with tempfile.TemporaryDirectory() as folder:
            samples = build(options.root, folder, image_format, options.samples)
            loops = {name: partial(loop, folder) for name, loop in LOOPS.items()}
            rates = rates_in_turns(loops, samples, options.rounds, warm_up=1)
        for name, (cpu, wall) in rates.items():
            share = cpu / rates[READ_ONLY][0]
            print(f"| {image_format} | {name} | {cpu:.0f} | {share:.0%} | {wall:.0f} |", flush=True)


if __name__ == "__main__":
    main()
