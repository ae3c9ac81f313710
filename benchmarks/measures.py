"""The measures of the synthetic images of a finished workspace, by k, beside their floors; see docs/measures.md.

With `--planted N`, it shows instead which of N training images the test for copies finds again, after several changes
and after the autoencoder of a base model, and the distances of held-out photographs that only went through that.

    python benchmarks/measures.py --workspace WORKSPACE
    python benchmarks/measures.py --workspace WORKSPACE --planted 24
"""

from __future__ import annotations

import json
import time
from dataclasses import astuple
from pathlib import Path

import cv2
import numpy as np
from measuring import command_line

from augment.backbones import load_backbone
from augment.lumen.bases.autoencoder import Autoencoder
from augment.measures.copies import copy_test, nearest
from augment.measures.floors import against_floor
from augment.measures.kernels import kernel_distance
from augment.measures.manifold import manifold
from downstream.evaluation import Measuring, evaluate
from downstream.measured_images import Encoders, shuffled
from downstream.measures import SETS
from pipeline.store import SampleReader, Store

BATCH = 32


def main() -> None:
    """Measure and print, as a table with a column for each k and as JSON."""
    parser = command_line(__doc__)
    parser.add_argument("--workspace", type=Path, required=True, help="folder with the stores real and synthetic")
    parser.add_argument("--split", default="val")
    parser.add_argument("--backbone", default="dinov2-vits14")
    parser.add_argument("--images", type=int, default=500, help="sources to measure, at most")
    parser.add_argument("--train-images", type=int, default=1000, help="training images, at most")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--planted", type=int, default=0, help="training images to change and find again")
    parser.add_argument("--model", default="lumen-tiny", help="whose autoencoder copies go through")
    parser.add_argument("--json", type=Path, default=None, help="file to write the figures to")
    options = parser.parse_args()

    backbone = load_backbone(options.backbone, options.device)

    def features(images):
        parts = [np.stack(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return [found for part in parts for found in backbone.features(part)]

    if options.planted:
        plant(Encoders(features), SampleReader(Store.open(str(options.workspace / "real"))), options)
        return
    restore = Autoencoder(options.model, options.device).restored
    measuring = Measuring(Encoders(features), options.images, "train", options.train_images, restore)
    stores = [str(options.workspace / name) for name in ("real", "synthetic")]
    started = time.process_time()
    rows = evaluate(None, *stores, options.split, measuring=measuring).to_pylist()
    for name in rows[0]:
        values = [row[name] for row in rows]
        if any(value is not None for value in values):
            shown = [f"{value:.4f}" if isinstance(value, float) else str(value) for value in values]
            print(f"{name:<28}" + "".join(f"{value:>12}" for value in shown) if name != "not_measured" else values[0])
    for pair in measuring.closest:
        print(pair)
    print(f"{time.process_time() - started:.0f} s of CPU time")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "closest": measuring.closest}, indent=2) + "\n")


def plant(encoders: Encoders, reader: SampleReader, options) -> None:
    """Print the share of changed training images that are flagged, and whose original is the nearest of all."""
    training = [sample.image for sample in reader.samples("train")]
    real = encoders.vectors(training)
    photographs = [sample.image for sample in reader.samples(options.split)]
    vectors = encoders.vectors(photographs)
    held_out = nearest(vectors, real)[1]
    places = [int(place) for place in shuffled([str(i) for i in range(len(training))], options.planted)]
    autoencoder, rng = Autoencoder(options.model, options.device), np.random.default_rng(0)
    images = np.stack([training[place] for place in places])
    noise = rng.normal(0, 10, images.shape)
    jpegs = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1] for image in images]
    copies = {
        "as it is": images,
        "moved by 8 pixels": np.roll(images, 8, axis=2),
        "mirrored": images[:, :, ::-1],
        "darker by 20 %": (images * 0.8).astype(np.uint8),
        "noise of sigma 10": (images + noise).clip(0, 255).astype(np.uint8),
        "JPEG of quality 30": np.stack([cv2.imdecode(data, cv2.IMREAD_COLOR) for data in jpegs]),
        "through the autoencoder": np.stack(autoencoder.restored(images)),
    }
    print(f"{'training image':<28}{'flagged':>10}{'original nearest':>20}")
    for name, changed in copies.items():
        found, distances = nearest(encoders.vectors(list(changed)), real)
        share = copy_test(distances, held_out).share
        print(f"{name:<28}{share:>10.2f}{(found == np.array(places)).mean():>20.2f}")
    restored = encoders.vectors(autoencoder.restored(photographs))

    def distances_of(one, other):
        return np.array([kernel_distance(one, other), *astuple(manifold(one, other))])

    found = against_floor(distances_of, vectors, restored[None])
    for name, value, spread in zip(SETS, found.value, found.spread, strict=True):
        print(f"{name:<28}{value:>10.2f} ± {spread:.2f}")
    own = nearest(restored, np.concatenate([vectors, real]))[0] == np.arange(len(vectors))
    print(f"{'own source nearest':<28}{own.mean():>10.2f}")
    print(f"{'nearer to training':<28}{copy_test(nearest(restored, real)[1], held_out).nearer:>10.2f}")


if __name__ == "__main__":
    main()
