"""How much of the time a stage that sleeps like an accelerator is busy, with and without overlap.

The stage takes a fixed time for each batch. Around it, images are read and decoded from one store, encoded and written
to another: with overlap in threads around the stage, across unit boundaries; without overlap one batch after the other
in one loop. The busy share is the time inside the stage over the time from its first batch to its last.

    python benchmarks/overlap.py
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from measuring import command_line

from pipeline.engine import ErrorBudget, Ok, Outcome, Resources, WorkUnit, make_executor, run_store_stage
from pipeline.engine.ray_cluster import start_local
from pipeline.stages.reading import StoreSource
from pipeline.store import Manifest, Sample, Store


@dataclass
class Sleep:
    """Passes samples on after a fixed time, and logs when it began and ended each batch."""

    log: str
    seconds: float
    batch_size: int
    resources: Resources = field(default_factory=lambda: Resources(workers=1))
    name: str = "sleep"

    def setup(self) -> None:
        """Nothing to load."""

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:  # noqa: ARG002
        """The batch unchanged."""
        began = time.monotonic()
        time.sleep(self.seconds)
        with Path(self.log).open("a") as stream:
            stream.write(f"{began} {time.monotonic()}\n")
        return [Ok(sample) for sample in batch]


def busy_share(log: Path) -> float:
    """The share of the time from the first batch to the last that the stage spent inside a batch."""
    spans = [tuple(map(float, line.split())) for line in log.read_text().splitlines()]
    return sum(end - began for began, end in spans) / (max(spans)[1] - min(spans)[0])


def write_input(url: Path, units: int, samples: int, manifest: Manifest) -> list[WorkUnit]:
    """A store of smooth images, which compress as photographs do; returns the plan to read it."""
    store, rng = Store.create(str(url), manifest), np.random.default_rng(0)
    height, width = manifest.geometry["height"], manifest.geometry["width"]
    plan = []
    for index in range(units):
        keys = tuple(f"k{index:04d}_{number:04d}" for number in range(samples))
        coarse = rng.integers(0, 256, (samples, height // 8, width // 8, 3), dtype=np.uint8)
        images = coarse.repeat(8, 1).repeat(8, 2) ^ rng.integers(0, 8, (samples, height, width, 3), dtype=np.uint8)
        labels = (images[..., 0] // 64).astype(np.uint8)
        store.write_shard(f"train-{index:06d}", [Sample(*sample) for sample in zip(keys, images, labels, strict=True)])
        plan.append(WorkUnit(f"train-{index:06d}", keys))
    return plan


def without_overlap(stage: Sleep, source: StoreSource, store: Store, plan: Sequence[WorkUnit]) -> None:
    """Read, process and write one batch after the other."""
    for unit in plan:
        with store.writer(unit.shard) as writer:
            samples = source.read(unit)
            while batch := [sample for sample in islice(samples, stage.batch_size) if isinstance(sample, Sample)]:
                for outcome in stage.process(unit, batch):
                    assert isinstance(outcome, Ok)
                    writer.add(outcome.sample)
            writer.commit((), (), 0.0, unit.fingerprint)


def main() -> None:
    """Run the same plan in both ways and print the shares, as text and as JSON."""
    parser = command_line(__doc__)
    parser.add_argument("--units", type=int, default=24)
    parser.add_argument("--samples", type=int, default=64, help="samples a unit")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--milliseconds", type=float, default=20, help="a batch")
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--image-format", choices=("png", "jpg"), default="jpg")
    options = parser.parse_args()
    geometry = {"height": options.height, "width": options.width}
    manifest = Manifest("overlap", "camvid", geometry, image_format=options.image_format)
    start_local(num_cpus=2)

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        plan = write_input(root / "input", options.units, options.samples, manifest)
        source = StoreSource(str(root / "input"), ("image", "label"))

        def measured(name: str, run: Callable[[Sleep, Store], object]) -> tuple[float, float]:
            log = root / f"{name}.log"
            store = Store.create(str(root / name), manifest)
            run(Sleep(str(log), options.milliseconds / 1000, options.batch_size), store)
            spans = log.read_text().splitlines()
            seconds = float(spans[-1].split()[1]) - float(spans[0].split()[0])
            return busy_share(log), options.units * options.samples / seconds

        plain = measured("plain", lambda stage, store: without_overlap(stage, source, store, plan))
        overlapped = measured(
            "overlapped",
            lambda stage, store: run_store_stage(
                stage, source, store, plan, make_executor("ray"), ErrorBudget(), lambda _: None
            ),
        )
        digests = [[r.sha256 for r in Store.open(str(root / name)).receipts()] for name in ("plain", "overlapped")]
        assert digests[0] == digests[1]
    for name, (share, rate) in (("without overlap", plain), ("with overlap", overlapped)):
        print(f"{name:<16} stage busy {share:6.1%}  {rate:7.1f} samples/s")
    print(f"ratio            {overlapped[1] / plain[1]:.2f} x the samples/s")
    print(json.dumps({"plain": plain, "overlapped": overlapped, **vars(options)}))


if __name__ == "__main__":
    main()
