"""Alignment, diversity and obedience to the prompt of adapters, each in a finished workspace of its own.

Alignment: mean IoU of the workspace's judge on painted images, divided by that on their sources; its spread is over the
variants. Diversity: cosine distance of DINOv2 features between variants of one source, mean over cells. Obedience:
share of images that a linear probe of colour statistics, trained on the real images, takes for the time of day that
their prompt asks for; all of them, and those alone whose source shows another.

    python benchmarks/adapters.py NAME=WORKSPACE [NAME=WORKSPACE ...]

docs/layouts.md has the runs that make the workspaces.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from measuring import command_line
from numpy.typing import NDArray

from augment.backbones import Backbone, load_backbone
from augment.layouts.probing import LinearProbe
from downstream.evaluation import judged_miou
from downstream.judge import Judge
from pipeline.store import Sample, SampleReader, Store

TIMES = ("day", "night")


def colour_statistics(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean and deviation of each channel, about -1..1."""
    levels = image.reshape(-1, 3) / 127.5 - 1
    return np.concatenate([levels.mean(0), levels.std(0)])


def time_probe(real: Iterable[Sample]) -> LinearProbe | None:
    """A probe for day or night off colour statistics; None if the real images do not show both."""
    known = [one for one in real if one.metadata.get("time_of_day") in TIMES and one.image is not None]
    classes = np.array([TIMES.index(str(one.metadata["time_of_day"])) for one in known])
    if len(set(classes.tolist())) < len(TIMES):
        return None
    inputs = np.stack([colour_statistics(one.image) for one in known])
    unseen = np.arange(len(known)) % 4 == 0
    right = LinearProbe(inputs[~unseen], classes[~unseen], len(TIMES)).classes(inputs[unseen]) == classes[unseen]
    print(f"the probe of day and night is right on {right.mean():.0%} of {len(right)} unseen real images")
    return LinearProbe(inputs, classes, len(TIMES))


def diversity(backbone: Backbone, variants: Sequence[Sample]) -> float:
    """Mean cosine distance between the features of each two of the variants of one source."""
    features = backbone.features(np.stack([one.image for one in variants if one.image is not None]))
    distances = [1 - F.cosine_similarity(one, other, dim=0).mean() for one, other in combinations(features, 2)]
    return float(torch.stack(distances).mean())


def rows_of(workspace: Path, backbone: Backbone) -> Iterator[str]:
    """A row of the table for each k."""
    judge = Judge.load(workspace / "judge", "cpu")
    real, synthetic = (SampleReader(Store.open(str(workspace / name))) for name in ("real", "synthetic"))
    sources = {one.key: one for one in map(real.read, real.keys)}
    probe = time_probe(sources.values())
    by_k = grouped(map(synthetic.read, synthetic.keys), "k")
    for k, painted in sorted(by_k.items()):
        on_real = judged_miou(judge, [sources[key] for key in grouped(painted, "source_key")], 16)
        on_painted = [judged_miou(judge, found, 16) for found in grouped(painted, "variant").values()]
        # None, where no label is left to compare with, becomes NaN.
        shares = np.array(on_painted, np.float64) / np.array(on_real, np.float64)
        apart = np.mean([diversity(backbone, found) for found in grouped(painted, "source_key").values()])
        alignment = f"{np.mean(shares):.3f} ± {np.std(shares, ddof=1):.3f}"
        yield f"{k} | {alignment} | {apart:.3f} | {' | '.join(obedience(probe, painted, sources))}"


def grouped(samples: Iterable[Sample], name: str) -> dict[Any, list[Sample]]:
    """Samples by a value of their metadata."""
    groups = defaultdict(list)
    for one in samples:
        groups[one.metadata[name]].append(one)
    return groups


def obedience(probe: LinearProbe | None, painted: Sequence[Sample], sources: dict[str, Sample]) -> tuple[str, str]:
    """Shares of images at the requested time of day: of all, and of those with a source at another time."""
    if probe is None:
        return "-", "-"
    hits, against = [], []
    for one in painted:
        requested = one.metadata.get("time_of_day")
        if requested in TIMES and one.image is not None:
            hit = TIMES[probe.classes(colour_statistics(one.image)[None])[0]] == requested
            hits.append(hit)
            if requested != sources[str(one.metadata["source_key"])].metadata.get("time_of_day"):
                against.append(hit)
    return f"{np.mean(hits):.0%} of {len(hits)}", f"{np.mean(against):.0%} of {len(against)}"


def main() -> None:
    """Measure and print the table."""
    parser = command_line(__doc__)
    parser.add_argument("workspaces", nargs="+", metavar="NAME=WORKSPACE")
    options = parser.parse_args()
    backbone = load_backbone("dinov2-vits14")
    print("| adapter | k | alignment | diversity | obeys | obeys against the source |\n| --- |" + " ---: |" * 5)
    for item in options.workspaces:
        name, _, folder = item.partition("=")
        for row in rows_of(Path(folder), backbone):
            print(f"| {name} | {row} |", flush=True)


if __name__ == "__main__":
    main()
