"""The mIoU of a linear probe on images painted at each k, and how much variants of one layout differ.

A linear probe on frozen DINOv2 features learns the classes from real training photographs. It then segments the real
validation images (the upper limit) and the images painted onto their layouts at each k. The probe, the basis, the base
model and the adapter were trained without the validation split.

    python benchmarks/layout_fidelity.py --dataset camvid --root CAMVID
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from measuring import command_line
from numpy.typing import NDArray

from augment.backbones import Backbone
from augment.lumen.model import Lumen
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from augment.metrics import confusion_matrix, mean_iou, pairwise_difference
from augment.prompts import caption
from pipeline.datasets import Geometry, open_dataset, resize_frame

BATCH = 32


def read(kind: str, root: Path, split: str, geometry: Geometry, limit: int | None) -> tuple[list, list, list]:
    """Images, labels and captions of a split, `limit` of them, evenly spaced."""
    dataset = open_dataset(kind, root)
    records = dataset.records(split)
    if limit and limit < len(records):
        records = [records[i] for i in np.linspace(0, len(records) - 1, limit).astype(int)]
    frames = [resize_frame(dataset.load(record), geometry) for record in records]
    captions = [caption(record.attributes) for record in records]
    return [frame.image for frame in frames], [frame.label for frame in frames], captions


def features_of(backbone: Backbone, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Features `float32 [N, C, h, w]`."""
    batches = [np.stack(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return torch.cat([backbone.features(batch) for batch in batches])


def layouts_of(lumen: Lumen, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float16]:
    """Layouts `float16 [N, K, h, w]`."""
    batches = [np.stack(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return np.concatenate([lumen.conditioning.maps(batch) for batch in batches])


def train_probe(features: torch.Tensor, labels: NDArray[np.uint8], classes: int, steps: int = 600) -> torch.nn.Conv2d:
    """A 1 x 1 convolution from features to classes, trained at label resolution."""
    torch.manual_seed(0)
    probe = torch.nn.Conv2d(features.shape[1], classes, 1)
    optimizer = torch.optim.AdamW(probe.parameters(), 3e-3, weight_decay=1e-3)
    target = torch.from_numpy(labels.astype(np.int64))
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 - step / steps)
        picks = torch.randint(len(features), (16,), generator=generator)
        logits = F.interpolate(probe(features[picks]), target.shape[1:], mode="bilinear")
        F.cross_entropy(logits, target[picks], ignore_index=255).backward()
        optimizer.step()
        optimizer.zero_grad()
    return probe


@torch.inference_mode()
def score(
    probe: torch.nn.Conv2d, backbone: Backbone, images: Sequence[NDArray[np.uint8]], labels: Sequence[NDArray[np.uint8]]
) -> float:
    """Mean intersection over union of the probe's segmentations."""
    classes = probe.out_channels
    confusion = np.zeros((classes, classes), np.int64)
    for start in range(0, len(images), BATCH):
        features = features_of(backbone, images[start : start + BATCH])
        truth = np.stack(labels[start : start + BATCH])
        predicted = F.interpolate(probe(features), truth.shape[1:], mode="bilinear").argmax(1).numpy()
        confusion += confusion_matrix(truth, predicted.astype(np.uint8), classes)
    return mean_iou(confusion)[0]


def main() -> None:
    """Measure and print, as a table and as JSON."""
    parser = command_line(__doc__)
    parser.add_argument("--dataset", choices=("camvid", "cityscapes"), default="camvid")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--model", default="lumen-tiny")
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--ks", type=int, nargs="+", default=[0, 1, 5, 20])
    parser.add_argument("--variants", type=int, default=2)
    parser.add_argument("--limit", type=int, default=None, help="validation images to use")
    parser.add_argument("--num-steps", type=int, default=20)
    parser.add_argument("--guidance-scale", type=float, default=2.0)
    parser.add_argument("--json", type=Path, default=None, help="file to write the figures to")
    options = parser.parse_args()

    geometry = Geometry(height=options.height, width=options.width)
    sampling = SamplerOptions(num_steps=options.num_steps, guidance_scale=options.guidance_scale)
    lumen = Lumen.load(options.model, options=sampling)
    backbone, base = lumen.backbone, lumen.sampler.base
    classes = len(open_dataset(options.dataset, options.root).taxonomy)
    images, labels, _ = read(options.dataset, options.root, "train", geometry, None)
    probe = train_probe(features_of(backbone, images), np.stack(labels), classes)

    images, labels, captions = read(options.dataset, options.root, "val", geometry, options.limit)
    layouts = layouts_of(lumen, images)
    real = score(probe, backbone, images, labels)
    restored = [
        image
        for i in range(0, len(images), BATCH)
        for image in base.decode(base.encode(np.stack(images[i : i + BATCH])))
    ]
    rows = [
        {"images": "real", "miou": round(100 * real, 1), "difference": None},
        {"images": "autoencoder", "miou": round(100 * score(probe, backbone, restored, labels), 1), "difference": None},
    ]
    for k in options.ks:
        painted = [paint(lumen.sampler, layouts, captions, k, variant) for variant in range(options.variants)]
        miou = np.mean([score(probe, backbone, variant, labels) for variant in painted])
        difference = np.mean([pairwise_difference(np.stack(group)) for group in zip(*painted, strict=True)])
        rows.append(
            {"images": f"k = {k}", "miou": round(100 * float(miou), 1), "difference": round(float(difference), 4)}
        )
    print(f"{'images':<14}{'mIoU':>6}{'difference':>12}")
    for row in rows:
        print(f"{row['images']:<14}{row['miou']:>6}{row['difference'] if row['difference'] is not None else '':>12}")
    if options.json:
        facts = {key: str(value) for key, value in vars(options).items() if key not in ("json", "root")}
        options.json.write_text(
            json.dumps({"options": facts, "validation_images": len(images), "rows": rows}, indent=2) + "\n"
        )


def paint(
    sampler: LayoutSampler, layouts: NDArray[np.float16], captions: Sequence[str], k: int, variant: int
) -> list[NDArray[np.uint8]]:
    """One image for every layout."""
    requests = [
        Request(layout, k, text, seed=(variant << 24) + index)
        for index, (layout, text) in enumerate(zip(layouts, captions, strict=True))
    ]
    return [image for i in range(0, len(requests), BATCH) for image in sampler.generate(requests[i : i + BATCH])]


if __name__ == "__main__":
    main()
