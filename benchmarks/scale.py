"""How long plan, status and resume take for a store of very many shards, and how much memory.

The receipts are synthetic, on a local disk; the code that reads them is that of a run. Each action runs in a process of
its own; the operating system reports the peak memory of that process.

    python benchmarks/scale.py --sizes 10000 100000 1000000 --folder /tmp/scale
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measuring import command_line

from pipeline.engine import Plan, remaining
from pipeline.stages.generation_units import generation_units
from pipeline.store import Manifest, Receipt, Store
from pipeline.store.paths import done_path

KS, VARIANTS, KEYS = range(10), 10, 64
MANIFEST = Manifest("synthetic", "camvid", {"height": 16, "width": 24}, {"seed": 0})
# Every hundredth shard is left to do.
LEFT = 100


def plan_of(units: int) -> Plan:
    """The plan of generate: real shards of 64 samples each at 10 ks in 10 variants."""
    sources = {
        f"train-{shard:06d}": tuple(f"scene_{shard:06d}_{row:03d}" for row in range(KEYS))
        for shard in range(units // (len(KS) * VARIANTS))
    }
    return generation_units(sources, ["train"], KS, VARIANTS)


def write_receipts(store: Store, plan: Plan) -> None:
    """Write receipts of all units except every hundredth."""
    (Path(store.url) / "done").mkdir()
    for row, (shard, unit) in enumerate(zip(plan.shards.to_pylist(), plan.fingerprints().to_pylist(), strict=True)):
        if row % LEFT == 0:
            continue
        receipt = Receipt(
            shard=shard,
            sha256=unit[::-1],
            samples=KEYS - row % 2,
            bytes=KEYS * 400_000 + row,
            failures=row % 2,
            dropped=0,
            seconds=20 + row / 1000,
            finished=1.7e9 + row,
            index_sha256=unit[32:] + unit[:32],
            quarantine_sha256=unit if row % 2 else None,
            store=store.manifest.fingerprint,
            unit=unit,
            failure_reasons={"unreadable image": 1} if row % 2 else {},
        )
        (Path(store.url) / done_path(shard)).write_bytes(receipt.to_bytes())


def prepare(folder: str, units: int) -> None:
    """Make the store."""
    write_receipts(Store.create(folder, MANIFEST), plan_of(units))


def plan(folder: str, units: int) -> None:
    """Plan all units and compare them with a store without receipts."""
    assert len(remaining(Store.create(f"{folder}-empty", MANIFEST), plan_of(units))) == units


def status(folder: str, units: int) -> None:
    """Sum up all receipts."""
    totals = Store.open(folder).totals()
    assert totals.shards == units - units // LEFT
    assert sum(totals.failure_reasons.values()) == totals.failures


def fold(folder: str, _units: int) -> None:
    """Write the ledger."""
    assert Store.open(folder).fold()


def resume(folder: str, units: int) -> None:
    """The work of a run before its first unit."""
    store = Store.open(folder)
    store.fold()
    assert len(remaining(store, plan_of(units))) == units // LEFT


ACTIONS: dict[str, Callable[[str, int], None]] = {
    "prepare": prepare,
    "plan": plan,
    "status": status,
    "fold": fold,
    "resume": resume,
}
MEASURED = (
    ("plan", "plan"),
    ("status, no ledger", "status"),
    ("writing the ledger", "fold"),
    ("status", "status"),
    ("resume", "resume"),
)


def measured(action: str, folder: str, units: int) -> str:
    """Wall and CPU seconds of one action without the start of its process, and the process's peak memory."""
    command = [sys.executable, __file__, "--action", action, "--folder", folder, "--sizes", str(units)]
    figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return f"{figures['wall']:.1f} / {figures['cpu']:.1f} / {figures['mebibytes']:.0f}"


def act(action: str, folder: str, units: int) -> None:
    """Do one action in this process, and print its time and memory as JSON."""
    wall, cpu = time.monotonic(), time.process_time()
    ACTIONS[action](folder, units)
    figures = {"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu}
    figures["mebibytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "lumen-scale")
    parser.add_argument("--action", choices=ACTIONS, help="do only this, in this process")
    options = parser.parse_args()
    if options.action:
        act(options.action, str(options.folder), options.sizes[0])
        return
    print("Wall seconds / CPU seconds / MiB of peak memory:\n")
    print("| units | " + " | ".join(title for title, _ in MEASURED) + " |")
    print("|---:|" + "---:|" * len(MEASURED))
    for units in options.sizes:
        shutil.rmtree(options.folder, ignore_errors=True)
        options.folder.mkdir(parents=True)
        store = str(options.folder / "store")
        measured("prepare", store, units)
        found = [measured(action, store, units) for _, action in MEASURED]
        print(f"| {units:,} | {' | '.join(found)} |", flush=True)
    shutil.rmtree(options.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
