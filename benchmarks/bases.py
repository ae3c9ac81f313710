"""What layout bases keep of scenes and of appearance, on labelled photographs, over several fit subsets.

Every basis of a seed is fitted on the same random training images, and a linear probe learns the classes from them.
All figures are of random images of the validation split.

    python benchmarks/bases.py camvid=CAMVID folder=IDD
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from measuring import command_line
from numpy.typing import NDArray

from augment.backbones import load_backbone
from augment.layouts.basis import LayoutBasis
from augment.layouts.curves import Curves
from augment.layouts.encoding import Encoder
from augment.layouts.fitting import fit_basis, scene_moments
from augment.layouts.measuring import curves_of, sums_of
from augment.layouts.moments import SceneMoments
from augment.layouts.options import BasisOptions
from augment.layouts.probing import UNLABELLED, cell_classes
from augment.layouts.readers import fit_readers
from pipeline.datasets import Dataset, Frame, Geometry, open_dataset, resize_frame

BATCH, KS = 16, (5, 10, 20, 32)
VARIANTS = {
    "pca": BasisOptions(basis_kind="pca", standardize=False),
    "pca, standardised": BasisOptions(basis_kind="pca"),
    "invariant, not standardised": BasisOptions(standardize=False),
    "invariant, epsilon 1": BasisOptions(epsilon=1),
    "invariant": BasisOptions(),
    "invariant, epsilon 0.1": BasisOptions(epsilon=0.1),
    "invariant, without position": BasisOptions(without_position=True),
}
# Of the table, by the name of the figure. All figures are in the file of --json.
COLUMNS = {
    "shift": "shift",
    **{
        f"{name}@{k}": f"{title}, k = {k}"
        for k in (10, 20, 32)
        for name, title in (("miou", "mIoU"), ("kept", "kept %"))
    },
    "night@20": "night, k = 20",
    "leak@20": "leak, k = 20",
    "cell leak@20": "leak off a cell, k = 20",
}

Images = NDArray[np.uint8]


def batches(images: Images, classes: NDArray[np.int64], seed: int) -> Iterator[tuple[Images, NDArray[np.int64], list]]:
    """Batches of images, classes of their cells, and a seed for the changes of each."""
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        yield images[part], classes[part], [seed * 10**6 + i for i in range(*part.indices(len(images)))]


def fit_all(images: Images, seed: int, encode, revision: str) -> dict[str, LayoutBasis]:
    """A basis of each variant; those that see the same copies share their features."""
    moments = {}
    for flag in (False, True):
        options, parts = BasisOptions(standardize=flag), []
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            seeds = np.random.default_rng((seed, start)).integers(2**63, size=(len(part), options.copies)).tolist()
            parts.append(scene_moments(part, seeds, encode, options))
        moments[flag] = SceneMoments.merged(parts)
    return {
        name: fit_basis(moments[options.standardize], max(KS), "backbone", revision, options)
        for name, options in VARIANTS.items()
    }


def random_frames(dataset: Dataset, split: str, geometry: Geometry, limit: int, seed: int) -> list[Frame]:
    """`limit` random images of a split with their labels, or all of fewer."""
    records = dataset.records(split)
    chosen = np.random.default_rng(seed).choice(len(records), min(limit, len(records)), replace=False)
    return [resize_frame(dataset.load(records[i]), geometry) for i in chosen]


def measured(kind: str, root: Path, seed: int, options) -> dict[str, Curves]:
    """Curves of each variant on one dataset, for one random subset of its training images."""
    geometry = Geometry(height=options.height, width=options.width)
    dataset = open_dataset(kind, root)
    assert dataset.taxonomy is not None
    count = len(dataset.taxonomy.classes)
    train, held_out = (
        (np.stack([frame.image for frame in frames]), cell_classes(np.stack([frame.label for frame in frames]), count))
        for frames in (
            random_frames(dataset, split, geometry, limit, seed)
            for split, limit in (("train", options.fit), ("val", options.held_out))
        )
    )
    backbone = load_backbone(options.backbone)
    bases = fit_all(train[0], seed, backbone.features, backbone.revision)
    encoder, ks = Encoder(backbone.features, bases), dict.fromkeys(bases, KS)
    readers = fit_readers(encoder, batches(*train, seed), int((train[1] != UNLABELLED).sum()), ks, count)
    sums = sums_of(encoder, readers, batches(*held_out, seed + 500))
    return {name: curves_of(basis, readers[name], sums[name], KS) for name, basis in bases.items()}


def summary(curves: Curves) -> dict[str, float]:
    """The figures of the table, of one basis and seed."""
    row = {}
    for k in KS:
        changed = float(np.mean(list(curves.at(k).changed_miou.values())))
        row |= {
            f"miou@{k}": 100 * curves.at(k).miou,
            f"night@{k}": 100 * curves.at(k).changed_miou["night"],
            f"changed@{k}": 100 * changed,
            f"kept@{k}": 100 * changed / curves.at(k).miou,
            f"leak@{k}": float(np.mean(list(curves.at(k).leak.values()))),
            f"cell leak@{k}": float(np.mean(list(curves.at(k).cell_leak.values()))),
            f"position@{k}": curves.at(k).position,
        }
    row["shift"] = float(np.mean([np.mean(shift[:10]) for shift in curves.shifts.values()]))
    return row


def table(rows: Mapping[str, list[dict[str, float]]]) -> str:
    """A Markdown table: mean and standard deviation over the seeds."""
    lines = ["| basis | " + " | ".join(COLUMNS.values()) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
    for basis, seeds in rows.items():
        cells = []
        for name in COLUMNS:
            values = [seed[name] for seed in seeds]
            digits = 2 if name == "shift" or "leak" in name else 1
            spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.{digits}f}{spread}")
        lines.append(f"| {basis} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = command_line(__doc__)
    parser.add_argument("datasets", nargs="+", metavar="KIND=ROOT")
    parser.add_argument("--backbone", default="dinov2-vits14")
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--fit", type=int, default=100, help="training images of a fit subset")
    parser.add_argument("--held-out", type=int, default=50, help="validation images")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    everything = {}
    for item in options.datasets:
        kind, _, root = item.partition("=")
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
        for seed in options.seeds:
            for name, curves in measured(kind, Path(root), seed, options).items():
                rows[name].append(summary(curves))
            print(f"\n{kind}, {len(rows['pca'])} fit subsets\n\n{table(rows)}", flush=True)
        everything[kind] = rows
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
