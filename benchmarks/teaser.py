"""The picture in the README: real images, their layouts, and the images painted onto them at each k.

    python benchmarks/teaser.py WORKSPACE [WORKSPACE ...] --output docs/images/teaser.png

Each WORKSPACE is one of `lumen run` that is finished up to `generate`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from measuring import command_line
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from augment.layouts.pictures import layout_picture
from pipeline.store import SampleReader, Store

GAP, CAPTION = 4, 22


def row_of(workspace: Path, key: str, ks: list[int], variants: int) -> list[NDArray[np.uint8]]:
    """Real image, layout, and `variants` generated images for each k."""
    real = SampleReader(Store.open(str(workspace / "real"))).read(key)
    layout = SampleReader(Store.open(str(workspace / "layouts"))).read(key).layout
    assert real.image is not None and layout is not None
    height, width = real.image.shape[:2]
    synthetic = SampleReader(Store.open(str(workspace / "synthetic")))
    pictures = [synthetic.read(f"{key}_k{k:02d}_v{v:02d}").image for k in ks for v in range(variants)]
    return [
        real.image,
        layout_picture(layout, height, width),
        *(picture for picture in pictures if picture is not None),
    ]


def compose(rows: list[list[NDArray[np.uint8]]], titles: list[str], width: int) -> Image.Image:
    """Arrange rows of pictures under column titles, every picture `width` pixels wide."""
    height = max(round(width * row[0].shape[0] / row[0].shape[1]) for row in rows)
    size = ((width + GAP) * len(titles) - GAP, CAPTION + (height + GAP) * len(rows) - GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for column, title in enumerate(titles):
        draw.text((column * (width + GAP) + width // 2, CAPTION // 2), title, fill="black", font=font, anchor="mm")
    for line, row in enumerate(rows):
        for column, picture in enumerate(row):
            tile = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
            sheet.paste(tile, (column * (width + GAP), CAPTION + line * (height + GAP)))
    return sheet


def main() -> None:
    """Write the picture."""
    parser = command_line(__doc__)
    parser.add_argument("workspaces", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=3, help="rows for each workspace")
    parser.add_argument("--ks", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--variants", type=int, default=2)
    parser.add_argument("--width", type=int, default=224, help="pixels of one picture")
    options = parser.parse_args()
    titles = ["real", "layout", *(f"k = {k}" for k in options.ks for _ in range(options.variants))]
    rows = []
    for workspace in options.workspaces:
        table = Store.open(str(workspace / "synthetic")).index()
        held_out = sorted(
            {row["source_key"] for row in table.select(["source_key", "split"]).to_pylist() if row["split"] == "val"}
        )
        picks = np.linspace(0, len(held_out) - 1, options.rows).astype(int)
        rows += [row_of(workspace, held_out[i], options.ks, options.variants) for i in picks]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    compose(rows, titles, options.width).save(options.output)


if __name__ == "__main__":
    main()
