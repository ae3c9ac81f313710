"""How fast a store is read as a dataset of mmsegmentation, beside mmsegmentation's folder dataset on the same files.

Both decode each image and its label and pack them, in one process; they take turns, and the first turn is not counted.

    python benchmarks/store_loading.py --images 200 --height 256 --width 512
"""

from __future__ import annotations

import tempfile

import numpy as np
from measuring import command_line, rates_in_turns

from downstream.mmseg_import import mmseg_scope
from downstream.store_seg_dataset import StoreSegDataset
from pipeline.export import export_store
from pipeline.scenes import render_scene
from pipeline.store import Manifest, Sample, Store

PIPELINE = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, {"type": "PackSegInputs"}]


def make_store(url: str, images: int, height: int, width: int) -> None:
    """A store of rendered streets; a few scenes repeat."""
    store = Store.create(url, Manifest("real", "cityscapes", {"height": height, "width": width}))
    scenes = [render_scene(seed, height, width) for seed in range(min(images, 8))]
    for shard in range(0, images, 50):
        numbers = range(shard, min(shard + 50, images))
        chosen = ((number, scenes[number % len(scenes)]) for number in numbers)
        samples = (
            Sample(f"train_{number:06d}", scene.image, scene.label_ids % 19, metadata={"split": "train"})
            for number, scene in chosen
        )
        store.write_shard(f"train-{shard:06d}", samples)


def main() -> None:
    """Print images a second of both datasets, in the order of the files and in a random one."""
    parser = command_line(__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    from mmseg.datasets import BaseSegDataset

    with tempfile.TemporaryDirectory() as folder:
        url, exported = f"{folder}/store", f"{folder}/exported"
        make_store(url, options.images, options.height, options.width)
        export_store(url, exported, "folder")
        store = StoreSegDataset(url, "train", PIPELINE)
        with mmseg_scope():
            files = BaseSegDataset(
                data_root=exported,
                data_prefix={"img_path": "images/train", "seg_map_path": "masks/train"},
                img_suffix=".png",
                pipeline=PIPELINE,
                metainfo={"classes": store.metainfo["classes"]},
            )
        shuffled = np.random.default_rng(0).permutation(options.images).tolist()
        for title, order in (("in order", range(options.images)), ("shuffled", shuffled)):

            def read(dataset: object, indices: object = order) -> None:
                for index in indices:
                    dataset[index]

            loops = {"store": lambda _: read(store), "folder": lambda _: read(files)}
            rates = rates_in_turns(loops, options.images, options.rounds, warm_up=1)
            for name, (cpu, wall) in rates.items():
                print(f"{title:10} {name:8} {cpu:7.1f} images/s of CPU time {wall:7.1f} images/s")


if __name__ == "__main__":
    main()
