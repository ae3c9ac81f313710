"""Prints what each mix gains with each share of the labels, from the finished trainings of a workspace.

A comparison that is not finished is read as far as it is. Gains are against the real images with the same share of the
labels, over the seeds that both have. Two intervals of each: at 95 % for this mix alone, and for all mixes of the table
together.

    lumen run benchmarks/experiments/camvid.yaml dataset.root=FOLDER workspace=WORKSPACE
    python benchmarks/label_gains.py WORKSPACE
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from measuring import command_line

from downstream.arms import baseline_of, parse_arm
from downstream.comparison import comparison_table, summarize
from downstream.results import RESULT, RunResult, read_result
from downstream.statistics import CONFIDENCE
from downstream.statistics.counts import ImageCounts, read_counts
from downstream.statistics.runs import runs_of
from downstream.statistics.summary import Interval, MixSummary, interval


def finished(workspace: Path) -> tuple[list[RunResult], dict[tuple[str, int], ImageCounts]]:
    """The trainings with the most common number of iterations, which leaves out judges, and their counts."""
    found = {path.parent: read_result(path.parent) for path in sorted(workspace.glob(f"runs/*/{RESULT}"))}
    results = {folder: result for folder, result in found.items() if result is not None}
    iterations = Counter(result.iterations for result in results.values()).most_common(1)[0][0]
    kept = {folder: result for folder, result in results.items() if result.iterations == iterations}
    counts = {(result.mix, result.seed): read_counts(folder) for folder, result in kept.items()}
    return list(kept.values()), {run: of for run, of in counts.items() if of is not None}


def points(within: Interval | None) -> str:
    """An interval in points of mIoU."""
    return "" if within is None else f"{100 * within[0]:+.1f} to {100 * within[1]:+.1f}"


def line(of: MixSummary, alone: Interval | None) -> str:
    """A row of the table."""
    spread = "" if of.spread is None else f" ± {100 * of.spread:.1f}"
    gain = "" if of.difference is None else f"{100 * of.difference:+.1f}"
    scores = f"{of.seeds} | {100 * of.mean:.1f}{spread}"
    return f"| `{of.mix}` | {scores} | {gain} | {points(alone)} | {points(of.interval)} |"


def main() -> None:
    """Read and print."""
    parser = command_line(__doc__)
    parser.add_argument("workspace", type=Path)
    workspace = parser.parse_args().workspace
    results, counts = finished(workspace)
    table = comparison_table(results)
    mixes = {result.mix for result in results}
    baselines = {mix: baseline_of(mix) for mix in mixes}
    summary = summarize(table, counts=counts, baselines=baselines)
    runs = runs_of(table.to_pylist(), counts)
    print(f"{len(results)} trainings of {results[0].iterations} steps, {summary.images} held-out images\n")
    print("| mix | seeds | mIoU ± deviation between seeds | gain | 95 % alone | 95 % with all others |")
    print("| --- | ---: | ---: | ---: | --- | --- |")

    def order(of: MixSummary) -> tuple[float, bool, str]:
        return -float(parse_arm(of.mix).percent or 100), of.baseline is not None, of.mix

    for of in sorted(summary.mixes, key=order):
        found = runs[of.mix].difference(runs[of.baseline]) if of.baseline else None
        print(line(of, None if found is None else interval(found[0], CONFIDENCE)))


if __name__ == "__main__":
    main()
