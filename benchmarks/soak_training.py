"""Kills processes of a training of the adapter at random moments, and compares it with an undisturbed run.

`adapt` trains an adapter of lumen-tiny on a Ray cluster of several nodes on this machine. A parent kills a worker,
the supervisor or controller of Ray Train, a node with all its processes, or the driver, waits for at least one more
step, and kills again; it adds a node for one that is gone, and starts a dead driver again with the same command.
In the end every weight and every row of the loss log must be the same, bit for bit, as without kills.

    python benchmarks/soak_training.py --kills 20
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from measuring import command_line
from safetensors.numpy import load_file
from soak import Work

from augment.files import write_whole
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.options import AdaptOptions
from augment.lumen.training.examples import text_arrays
from augment.progress import TrainingStep
from pipeline.engine import ErrorBudget, ExecutorKind, Resources, WorkUnit, make_executor, run_store_stage
from pipeline.stages.adapt_progress import TRAINING
from pipeline.stages.adapt_task import Adapt
from pipeline.stages.encoded_samples import CAPTION
from pipeline.stages.reading import PairedSource, StoreSource
from pipeline.store import Manifest, Sample, Store, canonical_json, fingerprint

HEIGHT, WIDTH, COMPONENTS = 32, 64, 3
KEYS = tuple(f"k{number:02d}" for number in range(6))
# Titles of processes by what is killed.
PROCESSES = {"worker": "ray::RayTrainWorker", "controller": "ray::TrainController", "supervisor": "ray::Supervisor"}
TARGETS = ("worker", "worker", "worker", "controller", "supervisor", "driver", "driver", "node", "node")
# So that a kill comes at any moment of a step, including the writing of a checkpoint.
SPREAD_SECONDS = 3.0
POLL_SECONDS = 0.1
# A training that takes longer without a step has stopped for good.
STALLED_SECONDS = 900.0


class Made:
    """Samples in memory."""

    def __init__(self, samples: dict[str, Sample]) -> None:
        self._samples = samples

    def read(self, unit: WorkUnit) -> Iterator[Sample]:
        """The samples of the unit."""
        for key in unit.keys:
            yield self._samples[key]


def write_stores(root: Path) -> None:
    """Write random images, block means as their layouts, and their latents, to train on."""
    base = load_diffusion_model("lumen-tiny")
    stores: dict[str, dict[str, Sample]] = {"real": {}, "layouts": {}, "latents": {}}
    with torch.no_grad():
        [text] = text_arrays(base.embed([""], HEIGHT, WIDTH))
        for key in KEYS:
            image = np.random.default_rng(int(key[1:])).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            blocks = image.reshape(HEIGHT // 8, 8, WIDTH // 8, 8, 3).mean((1, 3)).transpose(2, 0, 1)
            latents = base.encode(image[None])[0].half().numpy()
            stores["real"][key] = Sample(key, image, (image[..., 0] % 11).astype(np.uint8))
            stores["layouts"][key] = Sample(key, layout=(blocks / 64 - 2).astype(np.float16))
            stores["latents"][key] = Sample(key, latents=latents, text=text, metadata={CAPTION: ""})
    unit = WorkUnit("train-000000", KEYS)
    for name, samples in stores.items():
        store = Store.create(str(root / name), Manifest(name, "camvid" if name == "real" else None, {}))
        stage = Work(name, 0.0)
        run_store_stage(stage, Made(samples), store, [unit], make_executor("serial"), ErrorBudget(), lambda _: None)


def train(root: Path, folder: Path, kind: ExecutorKind, workers: int, steps: int, address: str | None) -> None:
    """Train in this process as the driver, until the end."""
    real, layouts = StoreSource(str(root / "real"), ("image", "label")), StoreSource(str(root / "layouts"), ("layout",))
    task = Adapt(
        base="lumen-tiny",
        adapter=None,
        basis=None,
        num_components=COMPONENTS,
        latents=str(root / "latents"),
        layouts=layouts.url,
        views=0,
        images=PairedSource(real, layouts),
        options=AdaptOptions(
            steps=steps,
            batch_size=4,
            warmup_steps=2,
            checkpoint_every=2,
            log_every=1,
            sample_every=10**6,
            micro_batch=2,
        ),
        precision="fp32",
        seed=0,
        folder=str(folder),
        checkpoints=str(folder / TRAINING),
        device="cpu",
        resources=Resources(workers=workers, threads=1),
    )
    furthest = folder.with_suffix(".step")

    def on_step(_unit: WorkUnit, step: TrainingStep) -> None:
        write_whole(furthest, str(step.step))

    list(make_executor(kind, address).train(task, [WorkUnit("adapter-000000", KEYS)], on_step))


def content(folder: Path) -> tuple[str, list[tuple[int, float]]]:
    """Digest of the weights, and the loss log without speeds."""
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    rows = [json.loads(row) for row in (folder / TRAINING / "loss.jsonl").read_text().splitlines()]
    digest = fingerprint({name: canonical_json(value.tolist()).decode() for name, value in weights.items()})
    return digest, [(row["step"], row["denoising"]) for row in rows]


class Nodes:
    """A Ray cluster of a head without CPU slots, where the driver is, and nodes with one slot each."""

    def __init__(self, count: int) -> None:
        # Ray starts workers with a niceness of 15, which leaves them little of a busy machine.
        os.environ.setdefault("RAY_worker_niceness", "0")
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        self._nodes = [self._cluster.add_node(num_cpus=1) for _ in range(count)]

    @property
    def address(self) -> str:
        """Where a driver joins it."""
        return str(self._cluster.address)

    def kill_one(self) -> None:
        """End a node at once, and add another."""
        node = self._nodes.pop(random.randrange(len(self._nodes)))
        self._cluster.remove_node(node, allow_graceful=False)
        self._nodes.append(self._cluster.add_node(num_cpus=1))

    def processes(self, title: str) -> list[psutil.Process]:
        """The processes of the cluster with this title."""
        found = psutil.Process().children(recursive=True)
        return [process for process in found if " ".join(process.cmdline()[:1]).startswith(title)]

    def close(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()


def kill(nodes: Nodes, driver: subprocess.Popen[bytes]) -> str | None:
    """Kill something at random; returns what, or None if there is none of its kind now."""
    target = random.choice(TARGETS)
    if target == "driver":
        driver.kill()
    elif target == "node":
        nodes.kill_one()
    else:
        found = nodes.processes(PROCESSES[target])
        if not found:
            return None
        random.choice(found).send_signal(signal.SIGKILL)
    return target


def disturbed(root: Path, folder: Path, workers: int, options: argparse.Namespace, left: int) -> Counter[str]:
    """Train to the end while processes are killed, at most `left` times; returns the kills."""
    kills: Counter[str] = Counter()
    nodes = Nodes(workers)
    furthest, driver = folder.with_suffix(".step"), None
    command = [sys.executable, __file__, "--child", str(folder), "--root", str(root), "--workers", str(workers)]
    command += ["--steps", str(options.steps), "--address", nodes.address, "--executor", "ray"]
    seen, latest, changed = 0, 0, time.monotonic()
    try:
        while True:
            if driver is None or driver.poll() == -signal.SIGKILL:
                driver = subprocess.Popen(command)
            if driver.poll() is not None:
                if driver.returncode:
                    sys.exit(f"the driver ended with {driver.returncode}")
                return kills
            if time.monotonic() - changed > STALLED_SECONDS:
                sys.exit(f"no step for {STALLED_SECONDS:g} s after {dict(kills)}")
            time.sleep(POLL_SECONDS)
            step = int(furthest.read_text()) if furthest.exists() else 0
            if step > latest:
                latest, changed = step, time.monotonic()
            if step <= seen or kills.total() >= left:
                continue
            time.sleep(random.uniform(0, SPREAD_SECONDS))
            try:
                target = kill(nodes, driver)
            except psutil.NoSuchProcess:
                continue
            if target is not None:
                kills[target] += 1
                seen = step
                print(f"{workers} workers, step {step}: killed a {target}", file=sys.stderr, flush=True)
    finally:
        if driver is not None:
            driver.kill()
        nodes.close()


def main() -> int:
    """Kill, compare, and print the figures as JSON; returns 1 if anything differs."""
    parser = command_line(__doc__)
    parser.add_argument("--kills", type=int, default=20, help="for all numbers of workers together")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executor", choices=("ray", "serial"), help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        train(options.root, options.child, options.executor, options.workers[0], options.steps, options.address)
        return 0

    random.seed(options.seed)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        root = Path(name)
        write_stores(root)
        for workers in options.workers:
            undisturbed, wanted = root / f"undisturbed-{workers}", round(options.kills / len(options.workers))
            kinds: ExecutorKind = "serial" if workers == 1 else "ray"
            command = [sys.executable, __file__, "--child", str(undisturbed), "--root", str(root), "--steps"]
            subprocess.run([*command, str(options.steps), "--workers", str(workers), "--executor", kinds], check=True)
            expected = content(undisturbed)
            kills: Counter[str] = Counter()
            wrong, rounds, started = 0, 0, time.monotonic()
            while kills.total() < wanted:
                folder = root / f"disturbed-{workers}-{rounds}"
                kills += disturbed(root, folder, workers, options, wanted - kills.total())
                wrong += content(folder) != expected
                rounds += 1
            figures[f"{workers} workers"] = {
                "kills": dict(kills),
                "rounds": rounds,
                "steps": rounds * options.steps,
                "rounds that differ": wrong,
                "seconds": round(time.monotonic() - started),
            }
            print(json.dumps(figures), file=sys.stderr, flush=True)
    print(json.dumps(figures))
    return 1 if any(found["rounds that differ"] for found in figures.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
