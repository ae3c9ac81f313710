"""What layout bases keep of scenes and of appearance, on labelled photographs, over several fit subsets.

Every basis of a seed is fitted on the same random training images, and a linear probe learns the classes from them.
All figures are of other images: those of the validation split.

    python benchmarks/bases.py camvid=CAMVID folder=IDD --json bases.json
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from layout_fidelity import read
from measuring import command_line
from numpy.typing import NDArray

from augment.backbones import load_backbone
from augment.layouts.basis import LayoutBasis
from augment.layouts.curves import Curves, Encoder, measure
from augment.layouts.fitting import fit_basis, scene_moments
from augment.layouts.moments import SceneMoments
from augment.layouts.options import BasisOptions
from augment.layouts.probing import cell_classes
from pipeline.datasets import Geometry, open_dataset

BATCH, KS = 16, (1, 2, 3, 5, 8, 10, 15, 20, 24, 32)
SHOWN = (5, 10, 20, 32)
VARIANTS = {
    "pca": BasisOptions(basis_kind="pca", standardize=False),
    "pca, standardised": BasisOptions(basis_kind="pca"),
    "invariant, not standardised": BasisOptions(standardize=False),
    "invariant, epsilon 1": BasisOptions(epsilon=1),
    "invariant": BasisOptions(),
    "invariant, epsilon 0.1": BasisOptions(epsilon=0.1),
    "invariant, without position": BasisOptions(without_position=True),
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


def measured(kind: str, root: Path, seed: int, options) -> dict[str, Curves]:
    """Curves of each variant on one dataset, for one random subset of its training images."""
    geometry = Geometry(height=options.height, width=options.width)
    dataset = open_dataset(kind, root)
    assert dataset.taxonomy is not None
    count = len(dataset.taxonomy.classes)
    images, labels, _ = read(kind, root, "train", geometry, None)
    chosen = np.random.default_rng(seed).choice(len(images), min(options.fit, len(images)), replace=False)
    train = np.stack([images[i] for i in chosen]), cell_classes(np.stack([labels[i] for i in chosen]), count)
    images, labels, _ = read(kind, root, "val", geometry, options.held_out)
    held_out = np.stack(images), cell_classes(np.stack(labels), count)
    backbone = load_backbone(options.backbone)
    bases = fit_all(train[0], seed, backbone.features, backbone.revision)
    fitted = Encoder(backbone.features, bases, changes=()).encoded(batches(*train, seed))
    found = Encoder(backbone.features, bases).encoded(batches(*held_out, seed + 500))
    return {name: measure(fitted[name], found[name], KS, count) for name in bases}


def summary(curves: Curves) -> dict[str, float]:
    """The figures of the table, of one basis and seed."""
    row = {}
    for k in SHOWN:
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
    names = ["shift", *(f"{figure}@{k}" for k in SHOWN for figure in ("miou", "changed", "kept", "night", "leak"))]
    lines = ["| basis | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for basis, seeds in rows.items():
        cells = []
        for name in names:
            values = [seed[name] for seed in seeds]
            digits = 2 if name == "shift" or "leak" in name else 1
            cells.append(
                f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.{digits}f}"
            )
        lines.append(f"| {basis} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = command_line(__doc__)
    parser.add_argument("datasets", nargs="+", metavar="KIND=ROOT")
    parser.add_argument("--backbone", default="dinov2-vits14")
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--fit", type=int, default=120, help="training images of a fit subset")
    parser.add_argument("--held-out", type=int, default=60, help="validation images")
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
