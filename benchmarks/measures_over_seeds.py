"""Prints the measures of the images of each k, as mean and standard deviation over workspaces.

The workspaces differ in `seed` and `judge.seed` alone, so the deviation is that of new noise and a new judge.

    for seed in 0 1 2; do
      for until in "--until judge" "--only evaluate"; do
        lumen run benchmarks/experiments/camvid.yaml dataset.root=FOLDER workspace=W$seed seed=$seed judge.seed=$seed \\
          'generate.splits=[val]' generate.variants=2 'downstream.mixes=[real]' $until
      done
    done
    python benchmarks/measures_over_seeds.py W0 W1 W2
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from measuring import command_line

MEASURES = (
    "alignment",
    "diversity",
    "patch_diversity",
    "edges",
    "kernel",
    "density",
    "coverage",
    "vendi",
)


def cell(values: Sequence[float | None]) -> str:
    """Mean and sample standard deviation, to three digits."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    spread = f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else ""
    return f"{statistics.fmean(known):.3f}{spread}"


def main() -> None:
    """Read and print."""
    parser = command_line(__doc__)
    parser.add_argument("workspaces", type=Path, nargs="+")
    folders = parser.parse_args().workspaces
    tables = [{row["k"]: row for row in pq.read_table(folder / "evaluation.parquet").to_pylist()} for folder in folders]
    print("| k | " + " | ".join(MEASURES) + " |")
    print("| ---: | " + " | ".join("---" for _ in MEASURES) + " |")
    for k in sorted(tables[0]):
        print(f"| {k} | " + " | ".join(cell([table[k][measure] for table in tables]) for measure in MEASURES) + " |")


if __name__ == "__main__":
    main()
