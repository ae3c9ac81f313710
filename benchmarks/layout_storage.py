"""What layouts of CamVid lose, and how many bytes they take, in each format; and with one scale for a whole store.

    python benchmarks/layout_storage.py --root CAMVID

The layouts are those of photographs in the basis of `lumen-tiny`. Errors are in standard deviations of the data that
the basis was fitted on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from measuring import command_line
from numpy.typing import NDArray

from augment.backbones import load_backbone
from augment.layouts.basis import LayoutBasis
from augment.layouts.extraction import extract_layouts
from augment.lumen import zoo
from pipeline.datasets import Geometry, open_dataset, resize_frame
from pipeline.datasets.thinning import thinned
from pipeline.store.layout_format import LayoutFormat, decode_layout, encode_layout

BATCH = 4
FORMATS: tuple[LayoutFormat, ...] = ("float16", "uint8")


def layouts_of(root: Path, geometry: Geometry, limit: int) -> NDArray[np.float16]:
    """Layouts `float16 [N, K, h, w]` of photographs from all over the training split."""
    dataset = open_dataset("camvid", root)
    basis = LayoutBasis.load(zoo.ZOO / "lumen-tiny" / "adapter" / "basis")
    backbone = load_backbone(basis.backbone)
    records = thinned(dataset.records("train"), limit)
    images = [resize_frame(dataset.load(record), geometry).image for record in records]
    batches = [np.stack(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return np.concatenate([extract_layouts(batch, backbone, basis) for batch in batches])


def row(name: str, bytes_each: float, error: NDArray[np.float32], clipped: float) -> str:
    """A row of the table."""
    figures = (error.mean(), np.sqrt((error**2).mean()), np.quantile(error, 0.999), error.max())
    errors = " | ".join(f"{figure:.4f}" for figure in figures)
    return f"| {name} | {bytes_each:,.0f} | {errors} | {clipped:.4%} |"


def main() -> None:
    """Measure, and print a table."""
    parser = command_line(__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--height", type=int, default=192)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--limit", type=int, default=60, help="photographs to use")
    options = parser.parse_args()

    layouts = layouts_of(options.root, Geometry(height=options.height, width=options.width), options.limit)
    exact = layouts.astype(np.float32)
    print(f"{len(layouts)} layouts {list(layouts.shape[1:])}, largest value {np.abs(exact).max():.1f}\n")
    print("| format | bytes | mean error | root mean square | 99.9 % below | largest | values clipped |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for layout_format in FORMATS:
        stored = [encode_layout(layout, layout_format) for layout in layouts]
        found = np.stack([decode_layout(data, layout_format) for data in stored]).astype(np.float32)
        print(row(layout_format, np.mean([len(data) for data in stored]), np.abs(found - exact), 0.0))
    for most in (4, 6, 8):
        levels = ((exact + most) * (255 / (2 * most))).round().clip(0, 255)
        found = levels * (2 * most / 255) - most
        clipped = float((np.abs(exact) > most).mean())
        print(row(f"uint8, -{most} to {most} for all", layouts[0].size, np.abs(found - exact), clipped))


if __name__ == "__main__":
    main()
