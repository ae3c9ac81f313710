"""The measures of the synthetic images of a finished workspace, by k, beside their floors; see docs/measures.md.

python benchmarks/measures.py --workspace WORKSPACE
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from measuring import command_line

from augment.backbones import load_backbone
from downstream.evaluation import Measuring, evaluate
from downstream.measured_images import Encoders

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
    parser.add_argument("--json", type=Path, default=None, help="file to write the figures to")
    options = parser.parse_args()

    backbone = load_backbone(options.backbone, options.device)

    def features(images):
        parts = [np.stack(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return [found for part in parts for found in backbone.features(part)]

    measuring = Measuring(Encoders(features), options.images, "train", options.train_images)
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


if __name__ == "__main__":
    main()
