"""How fast shards are written: by the store, by webdataset's ShardWriter, and by a loop that only encodes, the limit.

All three take turns in one process on one core, and encode the same samples with the same code. The store then writes a
tar with index, digests and receipt, ShardWriter a plain tar, and the last loop nothing.

    python benchmarks/shard_writing.py --root CAMVID
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import webdataset
from measuring import command_line, rates_in_turns

from pipeline.datasets import open_dataset
from pipeline.scenes import write_dataset
from pipeline.stages.dataset_source import sample_of
from pipeline.store import Manifest, Sample, Store
from pipeline.store.codec import ImageFormat, encode


def photographs(root: Path, count: int) -> list[Sample]:
    """The first CamVid photographs with their labels, at full size."""
    dataset = open_dataset("camvid", root)
    return [sample_of(r.key, dataset.load(r), r.attributes) for r in dataset.records("train")[:count]]


def scenes(count: int) -> list[Sample]:
    """Rendered street scenes with their labels."""
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder), {"train": count, "val": 0}, seed=0, height=360, width=480, workers=1)
        dataset = open_dataset("cityscapes", Path(folder))
        return [sample_of(r.key, dataset.load(r), r.attributes) for r in dataset.records("train")]


def only_encode(samples: Sequence[Sample], image_format: ImageFormat, _folder: Path) -> None:
    """Encode, and write nothing."""
    for sample in samples:
        encode(sample, image_format)


def with_shard_writer(samples: Sequence[Sample], image_format: ImageFormat, folder: Path) -> None:
    """Encode, and write with webdataset."""
    with webdataset.ShardWriter(f"{folder}/train-%06d.tar", maxcount=len(samples) + 1, verbose=0) as writer:
        for sample in samples:
            writer.write({"__key__": sample.key, **encode(sample, image_format)})


def with_store(samples: Sequence[Sample], image_format: ImageFormat, folder: Path) -> None:
    """Write a shard of a store."""
    store = Store.create(str(folder), Manifest("real", "camvid", {}, {}, image_format))
    store.write_shard("train-000000", samples)


LOOPS: dict[str, Callable[[Sequence[Sample], ImageFormat, Path], None]] = {
    "encode only": only_encode,
    "webdataset.ShardWriter": with_shard_writer,
    "lumen": with_store,
}


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, help="CamVid; without it scenes are rendered")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--formats", nargs="+", choices=("png", "jpg", "webp"), default=["png", "jpg"])
    options = parser.parse_args()
    samples = photographs(options.root, options.samples) if options.root else scenes(options.samples)
    image = samples[0].image
    assert image is not None
    print(f"{len(samples)} samples of {image.shape[1]} x {image.shape[0]}, median of {options.rounds} rounds\n")
    print("| format | loop | samples/s of CPU time | of encode only | samples/s of wall time | of encode only |")
    print("|---|---|---:|---:|---:|---:|")
    for image_format in options.formats:
        loops = {name: partial(loop, samples, image_format) for name, loop in LOOPS.items()}
        found = rates_in_turns(loops, len(samples), options.rounds)
        cpu, wall = found["encode only"]
        for name, (by_cpu, by_wall) in found.items():
            cells = (
                image_format,
                name,
                f"{by_cpu:.1f}",
                f"{by_cpu / cpu:.0%}",
                f"{by_wall:.1f}",
                f"{by_wall / wall:.0%}",
            )
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
