"""Does a ControlNet for another condition help as the start of an adapter?

Three adapters for the base of `lumen-tiny` are trained on the same photographs, layouts and noise: from the base; from
a ControlNet, with its zero convolutions as they are; and from the same ControlNet with these set to zero. The
ControlNet is that of the shipped adapter, whose layouts have another basis: photographs and layouts are new to it,
street scenes are not. The loss is that on photographs that are not trained on, at fixed noise, of the averaged weights.

    python benchmarks/warm_start.py --root IDD
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel
from measuring import command_line

from augment.backbones import load_backbone
from augment.backbones.backbone import Backbone
from augment.layouts.basis import LayoutBasis
from augment.layouts.extraction import extract_layouts
from augment.layouts.moments import FeatureMoments
from augment.lumen import zoo
from augment.lumen.adapter import Adapter, load_adapter
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.options import AdaptOptions
from augment.lumen.training.adapter_training import train_adapter
from augment.lumen.training.examples import EncodedImages, Example
from augment.lumen.warm_start import adapter_from_controlnet
from augment.progress import ignore_step
from pipeline.datasets import Geometry, open_dataset, resize_frame
from pipeline.datasets.thinning import thinned

COMPONENTS = 20
CAPTION = "a photo of a street, day"


def photographs(root: Path, split: str, limit: int, height: int, width: int) -> np.ndarray:
    """Images `uint8 [N, H, W, 3]` of a split."""
    dataset, geometry = open_dataset("folder", root), Geometry(height=height, width=width)
    records = thinned(dataset.records(split), limit)
    return np.stack([resize_frame(dataset.load(record), geometry).image for record in records])


def save_controlnet(folder: Path) -> str:
    """The ControlNet inside of the shipped adapter, as diffusers has it; its encoder of images is random."""
    source = load_adapter(zoo.ZOO / "lumen-tiny" / "adapter").controlnet
    config = {key: value for key, value in source.config.items() if not key.startswith("_")}
    controlnet = ControlNetModel(**config)
    weights = {name: value for name, value in source.state_dict().items() if "cond_embedding" not in name}
    controlnet.load_state_dict(weights, strict=False)
    controlnet.save_pretrained(folder)
    return str(folder)


def silenced(adapter: Adapter) -> Adapter:
    """The same with zero convolutions that are zero."""
    for part in (*adapter.controlnet.controlnet_down_blocks, adapter.controlnet.controlnet_mid_block):
        for parameter in part.parameters():
            torch.nn.init.zeros_(parameter)
    return adapter


def main() -> None:
    """Print the losses of each training as JSON."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="a folder dataset with the splits train and val")
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--held-out", type=int, default=16)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--every", type=int, default=50, help="steps between losses")
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    size = options.height, options.width
    sets = [
        photographs(options.root, split, limit, *size)
        for split, limit in (("train", options.images), ("val", options.held_out))
    ]
    backbone = load_backbone("dinov2-vits14")
    moments = FeatureMoments.of(np.concatenate([part.numpy() for part in features(backbone, sets[0])]))
    basis = LayoutBasis.fit(moments, COMPONENTS, backbone.name, backbone.revision)
    train, held_out = (
        [
            Example(image, layout, CAPTION)
            for image, layout in zip(images, extract_layouts(images, backbone, basis), strict=True)
        ]
        for images in sets
    )
    base = load_diffusion_model("lumen-tiny")
    encoded = EncodedImages(base, train)
    settings = AdaptOptions(
        steps=options.steps,
        batch_size=options.batch,
        sample_every=options.every,
        checkpoint_every=10**6,
        checkpoint_minutes=10**4,
    )
    with tempfile.TemporaryDirectory() as scratch:
        controlnet = save_controlnet(Path(scratch) / "controlnet")
        starts = {
            "base": lambda: base.new_adapter(COMPONENTS),
            "controlnet": lambda: adapter_from_controlnet(controlnet, COMPONENTS),
            "controlnet, zero convolutions at zero": lambda: silenced(adapter_from_controlnet(controlnet, COMPONENTS)),
        }
        for name, start in starts.items():
            torch.manual_seed(0)
            folder = Path(scratch) / name
            train_adapter(
                *(base, start(), encoded, train[:1], settings, folder, ignore_step, "fp32"), held_out=held_out
            )
            rows = map(json.loads, (folder / "loss.jsonl").read_text().splitlines())
            print(json.dumps({"start": name, "losses": [row for row in rows if "validation/k=00" in row]}), flush=True)


def features(backbone: Backbone, images: np.ndarray) -> list[torch.Tensor]:
    """Features of images, a few at a time, as rows of cells."""
    parts = []
    for start in range(0, len(images), 8):
        found = backbone.features(images[start : start + 8])
        parts.append(found.flatten(2).transpose(1, 2).flatten(0, 1))
    return parts


if __name__ == "__main__":
    main()
