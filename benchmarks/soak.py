"""Kills processes of a small pipeline at random moments, and compares its stores with those of an undisturbed run.

Three stages on Ray or in one process; each reads the store of the one before. A parent kills a worker, an idle process
of the raylet or the whole driver with SIGKILL, waits for at least one more shard, and kills again; it starts a dead
driver again with the same command. After a round it compares the stores with those of the undisturbed run: every sample
once, every digest equal, no fault found by verify.

    python benchmarks/soak.py --kills 100
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from measuring import command_line

from pipeline.engine import (
    Dropped,
    ErrorBudget,
    ExecutorKind,
    Failed,
    Ok,
    Outcome,
    Resources,
    WorkUnit,
    make_executor,
    run_store_stage,
)
from pipeline.stages.reading import PairedSource, StoreSource, keys_by_shard
from pipeline.store import Manifest, Sample, Store, verify_store

HEIGHT, WIDTH = 48, 96
STORES = ("real", "layouts", "synthetic")
TARGETS = ("worker", "worker", "idle", "driver")
# So that a kill comes at any moment of a unit, including its commit.
SPREAD_SECONDS = 0.8
POLL_SECONDS = 0.05
# Errors of drivers in one round before the soak fails.
MAX_ERRORS = 5


@dataclass(frozen=True)
class Seeds:
    """Random images, seeded by their keys; every fortieth cannot be read."""

    def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
        """The samples of the unit."""
        for key in unit.keys:
            number = int(key[1:])
            if number % 40 == 7:
                yield Failed(key, f"truncated image: {key}.png")
                continue
            rng = np.random.default_rng(number)
            image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            yield Sample(key, image, rng.integers(0, 11, (HEIGHT, WIDTH), dtype=np.uint8))


@dataclass
class Work:
    """A stage that sleeps like an accelerator; subclasses define its outcomes."""

    name: str
    delay: float
    resources: Resources = field(default_factory=Resources)
    batch_size: int = 4

    def setup(self) -> None:
        """Nothing to load."""

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """The outcomes of all samples."""
        time.sleep(self.delay)
        return [outcome for sample in batch for outcome in self.outcomes(sample)]

    def outcomes(self, sample: Sample) -> Iterator[Outcome]:
        """The sample unchanged."""
        yield Ok(sample)


class Layout(Work):
    """Block means as a layout; every thirtieth raises."""

    def outcomes(self, sample: Sample) -> Iterator[Outcome]:
        """One layout."""
        assert sample.image is not None
        if int(sample.key[1:]) % 30 == 11:
            raise ArithmeticError("no layout")
        blocks = sample.image.reshape(HEIGHT // 8, 8, WIDTH // 8, 8, 3).mean((1, 3)).transpose(2, 0, 1)
        yield Ok(Sample(sample.key, layout=blocks.astype(np.float16)))


class Vary(Work):
    """Two images of each layout; every twenty-fifth sample is dropped."""

    def outcomes(self, sample: Sample) -> Iterator[Outcome]:
        """The variants."""
        assert sample.layout is not None
        if int(sample.key[1:]) % 25 == 3:
            yield Dropped(sample.key, "unreliable: its number")
            return
        for variant in range(2):
            pixels = np.random.default_rng((int(sample.key[1:]), variant)).integers(0, 64, (HEIGHT, WIDTH, 3))
            image = (sample.layout.transpose(1, 2, 0).repeat(8, 0).repeat(8, 1) / 2 + pixels).astype(np.uint8)
            facts = {"source_key": sample.key, "variant": variant}
            yield Ok(Sample(f"{sample.key}_v{variant:02d}", image, sample.label, metadata=facts))


def run_pipeline(root: Path, kind: ExecutorKind, units: int, samples: int, delay: float, quiet: bool = False) -> None:
    """Run the three stages until nothing is left to do."""
    executor, budget = make_executor(kind), ErrorBudget(rate=1.0)
    real, layouts, synthetic = (
        StoreSource(str(root / name), parts)
        for name, parts in zip(STORES, (("image", "label"), ("layout",), ("image",)), strict=True)
    )
    keys = [f"k{number:05d}" for number in range(units * samples)]
    plan = [
        WorkUnit(f"train-{index:06d}", tuple(keys[index * samples : (index + 1) * samples])) for index in range(units)
    ]
    stages = (
        (real, None, Seeds(), Work("shard", delay)),
        (layouts, real, StoreSource(real.url, ("image",)), Layout("extract", delay)),
        (synthetic, layouts, PairedSource(StoreSource(real.url, ("label",)), layouts), Vary("generate", delay)),
    )
    for target, upstream, source, stage in stages:
        taxonomy = None if stage.name == "extract" else "camvid"
        manifest = Manifest(stage.name, taxonomy, {"height": HEIGHT, "width": WIDTH})
        store = Store.create(target.url, manifest)
        if upstream is not None:
            plan = [WorkUnit(name, found) for name, found in keys_by_shard(Store.open(upstream.url)).items()]
        run_store_stage(stage, source, store, plan, executor, budget, (lambda _: None) if quiet else print)


def receipts(root: Path) -> int:
    """The number of committed shards in all stores."""
    return sum(1 for _ in root.glob("*/done/*.json"))


def victim(driver: psutil.Process, target: str) -> psutil.Process | None:
    """A process of the run to kill, or None if it has none of that kind now."""
    if target == "driver":
        return driver
    found = []
    for process in driver.children(recursive=True):
        title = " ".join(process.cmdline()[:1])
        # A raylet ends with its agents, and a cluster of one node with its raylet.
        if not title.startswith("ray::") or title.endswith("Agent"):
            continue
        if ("MapWorker" in title) == (target == "worker"):
            found.append(process)
    return random.choice(found) if found else None


def disturb(driver: subprocess.Popen[bytes], root: Path, left: int) -> Counter[str]:
    """Kill processes of a run at random moments until it ends, at most ``left`` of them; returns the kills."""
    kills: Counter[str] = Counter()
    seen = receipts(root)
    while driver.poll() is None:
        time.sleep(POLL_SECONDS)
        if kills.total() == left or receipts(root) == seen:
            continue
        time.sleep(random.uniform(0, SPREAD_SECONDS))
        target = random.choice(TARGETS)
        try:
            process = victim(psutil.Process(driver.pid), target)
            if process is not None:
                process.send_signal(signal.SIGKILL)
                kills[target] += 1
                seen = receipts(root)
        except psutil.NoSuchProcess:
            continue
    return kills


def round_of_kills(root: Path, options: argparse.Namespace, left: int) -> tuple[Counter[str], int]:
    """Run the pipeline to its end while its processes are killed.

    Returns the kills by target, and how many drivers ended in an error of their own: on a busy machine Ray may not
    start in time.
    """
    kills: Counter[str] = Counter()
    errors: list[str] = []
    while len(errors) <= MAX_ERRORS:
        kind = "serial" if random.random() < options.serial_share else "ray"
        arguments = [sys.executable, __file__, "--child", str(root), "--executor", kind]
        sizes = ["--units", str(options.units), "--samples", str(options.samples), "--delay", str(options.delay)]
        with tempfile.TemporaryFile() as log:
            driver = subprocess.Popen([*arguments, *sizes], stdout=log, stderr=log)
            kills += disturb(driver, root, left - kills.total())
            if driver.returncode == 0:
                return kills, len(errors)
            if driver.returncode != -signal.SIGKILL:
                log.seek(0)
                errors.append(log.read().decode())
                print(f"the driver ended with {driver.returncode}: {errors[-1].splitlines()[-1]}", file=sys.stderr)
    sys.exit(f"{len(errors)} drivers ended in an error, the last one with:\n{errors[-1]}")


def contents(root: Path) -> dict[str, dict[str, tuple[str, str, int, int, int]]]:
    """Digests and counts in the receipt of every shard, by store."""
    return {
        name: {
            receipt.shard: (receipt.sha256, receipt.index_sha256, receipt.samples, receipt.failures, receipt.dropped)
            for receipt in Store.open(str(root / name)).receipts()
        }
        for name in STORES
    }


def keys(root: Path) -> Counter[tuple[str, str]]:
    """How often every sample is in its store."""
    return Counter((name, key) for name in STORES for key in Store.open(str(root / name)).index()["key"].to_pylist())


def main() -> int:
    """Kill, compare, and print the figures as JSON; returns 1 if anything was lost, doubled or changed."""
    parser = command_line(__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--units", type=int, default=24, help="shards of each stage")
    parser.add_argument("--samples", type=int, default=16, help="samples a shard")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that a stage takes for four samples")
    parser.add_argument("--serial-share", type=float, default=0.2, help="share of drivers that run without Ray")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executor", choices=("ray", "serial"), help=argparse.SUPPRESS)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        run_pipeline(options.child, options.executor, options.units, options.samples, options.delay)
        return 0

    random.seed(options.seed)
    started = time.monotonic()
    totals: Counter[str] = Counter()
    kills: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        undisturbed = Path(folder, "undisturbed")
        run_pipeline(undisturbed, "serial", options.units, options.samples, 0.0, quiet=True)
        expected, expected_keys = contents(undisturbed), keys(undisturbed)
        while kills.total() < options.kills:
            root = Path(folder, f"round-{totals['rounds']}")
            killed, errors = round_of_kills(root, options, options.kills - kills.total())
            kills += killed
            totals["driver_errors"] += errors
            found = keys(root)
            totals["rounds"] += 1
            totals["samples"] += found.total()
            totals["lost"] += len(expected_keys.keys() - found.keys())
            totals["doubled"] += sum(1 for count in found.values() if count > 1)
            totals["changed_shards"] += sum(
                expected[name].get(shard) != receipt
                for name, shards in contents(root).items()
                for shard, receipt in shards.items()
            )
            totals["faults"] += sum(len(verify_store(str(root / name))) for name in STORES)
            print(
                f"round {totals['rounds']}: {kills.total()} kills so far, {dict(totals)}", file=sys.stderr, flush=True
            )
    wrong = totals["lost"] + totals["doubled"] + totals["changed_shards"] + totals["faults"]
    figures = {"lost": 0, "doubled": 0, "changed_shards": 0, "faults": 0, **totals}
    print(json.dumps({"kills": dict(kills), **figures, "seconds": round(time.monotonic() - started)}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
