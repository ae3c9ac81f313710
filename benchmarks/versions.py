"""How far mirrored latents and layouts are from those of the mirrored image, and those that are cropped from a crop's.

    python benchmarks/versions.py --root CAMVID

Photographs of CamVid, the autoencoder and the basis of `lumen-tiny`. Errors are root mean squares, in standard
deviations of what is compared with. The last line says how near decoded images are to the mirrored photographs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from measuring import command_line
from numpy.typing import NDArray

from augment.backbones import load_backbone
from augment.layouts.basis import LayoutBasis
from augment.layouts.extraction import extract_layouts
from augment.lumen import zoo
from augment.lumen.bases.loading import load_diffusion_model
from augment.stride import STRIDE
from pipeline.datasets import Geometry, open_dataset, resize_frame
from pipeline.datasets.thinning import thinned


def error(found: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    """Root mean square of the difference, in standard deviations of what is expected."""
    return float(np.sqrt(((found - expected) ** 2).mean() / expected.var()))


def signal_to_noise(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio, in decibels."""
    return float(10 * np.log10(255**2 / ((found.astype(np.float64) - expected) ** 2).mean()))


@torch.no_grad()
def main() -> None:
    """Measure, and print a line for each."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--height", type=int, default=192)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--limit", type=int, default=40, help="photographs to use")
    options = parser.parse_args()

    dataset, geometry = open_dataset("camvid", options.root), Geometry(height=options.height, width=options.width)
    records = thinned(dataset.records("train"), options.limit)
    images = np.stack([resize_frame(dataset.load(record), geometry).image for record in records])
    base = load_diffusion_model("lumen-tiny")
    basis = LayoutBasis.load(zoo.ZOO / "lumen-tiny" / "adapter" / "basis")
    backbone = load_backbone(basis.backbone)
    height, width = (side // 4 // STRIDE * 3 * STRIDE for side in images.shape[1:3])
    rows, columns = slice(0, height // STRIDE), slice(0, width // STRIDE)
    encoders = {
        "latents": lambda pixels: base.encode(pixels).numpy(),
        "layouts": lambda pixels: extract_layouts(pixels, backbone, basis).astype(np.float32),
    }
    for name, encode in encoders.items():
        whole, mirrored = encode(images), encode(np.ascontiguousarray(images[:, :, ::-1]))
        cropped = encode(np.ascontiguousarray(images[:, :height, :width]))
        print(f"{name}: mirrored {error(whole[..., ::-1], mirrored):.2f}, ", end="")
        print(f"cropped {error(whole[:, :, rows, columns], cropped):.2f}")
    mirrored_images = np.ascontiguousarray(images[:, :, ::-1])
    own, turned = base.encode(mirrored_images), base.encode(images).flip(-1)
    ratios = [signal_to_noise(base.decode(latents), mirrored_images) for latents in (own, turned)]
    print("decoded: {:.1f} dB from latents of mirrored images, {:.1f} dB from mirrored latents".format(*ratios))


if __name__ == "__main__":
    main()
