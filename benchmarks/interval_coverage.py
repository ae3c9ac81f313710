"""How often intervals hold the expected difference, and how often chance is taken for an effect, on simulated runs.

python benchmarks/interval_coverage.py --runs 2000
"""

from __future__ import annotations

import itertools

import numpy as np
from measuring import command_line

from downstream.statistics import CONFIDENCE, MIN_CLASS_IMAGES, MIN_SEEDS
from downstream.statistics.simulation import World, covered, found_by_chance

_RARE = (1.0, 1.0, 1.0, 0.5, 0.1, 0.05)
WORLDS = {
    "seeds": World(seed_effect=0.4, image_effect=0.1),
    "both": World(),
    "images": World(seed_effect=0.05, image_effect=0.6),
    "both, rare classes": World(presence=_RARE),
    "images, rare classes": World(presence=_RARE, seed_effect=0.05, image_effect=0.6),
}
GAINS = {"none": np.zeros(6), "some": np.array([-0.2, 0.0, 0.2, 0.3, 0.8, 1.5])}
IMAGES = {"none": (30, 100), "some": (30, 100, 500)}
SEEDS = (2, 3, 5, 10)


def main() -> None:
    """Print the tables."""
    parser = command_line(__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="simulated comparisons for each number")
    options = parser.parse_args()
    print("| varies most | effect | images |", *(f"{seeds} seeds |" for seeds in SEEDS))
    print("| --- | --- | ---: |", *("---: |" for _ in SEEDS))
    for name, world in WORLDS.items():
        for effect, gain in GAINS.items():
            gains = np.stack([np.zeros(6), gain])
            truth = world.expected(gains, np.random.default_rng(0))
            for images in IMAGES[effect]:
                cells = []
                for seeds in SEEDS:
                    rng = np.random.default_rng([seeds, images])
                    share, classes = covered(world, gains, options.runs, seeds, images, rng, CONFIDENCE, truth)
                    # Classes that at least ten images have, on average.
                    enough = classes[np.asarray(world.presence) * images >= MIN_CLASS_IMAGES]
                    cells.append(f"{100 * share:.1f} ({100 * enough.min():.1f} to {100 * enough.max():.1f}) |")
                print(f"| {name} | {effect} | {images} |", *cells, flush=True)
    print("\n| varies most | mixes | looks | 2 seeds | 3 seeds | 5 seeds | 10 seeds |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for name in ("seeds", "both", "images"):
        for mixes, looks in itertools.product((1, 3, 8), (False, True)):
            cells = []
            for seeds in SEEDS:
                if looks and seeds <= MIN_SEEDS:
                    cells.append("|")
                    continue
                rng = np.random.default_rng([seeds, mixes])
                share = found_by_chance(WORLDS[name], mixes, options.runs, seeds, 30, rng, looks=looks)
                cells.append(f"{100 * share:.1f} |")
            print(f"| {name} | {mixes} | {'each' if looks else 'one'} |", *cells, flush=True)


if __name__ == "__main__":
    main()
