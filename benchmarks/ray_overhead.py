"""The overhead of Ray for a unit without work, compared with a call in this process.

python benchmarks/ray_overhead.py
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from measuring import command_line

from pipeline.engine import Executor, Resources, WorkUnit, make_executor
from pipeline.engine.ray_cluster import start_local


@dataclass(frozen=True)
class Nothing:
    """A task without work; a worker holds up to ``units_at_once`` of its units."""

    units_at_once: int = 1
    resources: Resources = field(default_factory=lambda: Resources(workers=1))
    name: str = "nothing"

    def setup(self) -> None:
        """Nothing to load."""

    def run(self, unit: WorkUnit) -> str:
        """The shard's name."""
        return unit.shard


def seconds(executor: Executor, task: Nothing, units: int, keys: int) -> float:
    """How long these units take, from the call to the last result."""
    names = tuple(f"train_{number:06d}" for number in range(keys))
    plan = [WorkUnit(f"train-{number:06d}", names) for number in range(units)]
    started = time.perf_counter()
    assert sum(1 for _ in executor.map(task, plan)) == units
    return time.perf_counter() - started


def main() -> None:
    """Measure few units and many, and print the time of each further unit."""
    parser = command_line(__doc__)
    parser.add_argument("--few", type=int, default=20)
    parser.add_argument("--many", type=int, default=1020)
    parser.add_argument("--keys", type=int, default=256, help="keys that a unit carries")
    options = parser.parse_args()
    start_local(num_cpus=2)
    for kind, at_once in (("serial", 1), ("ray", 1), ("ray", 3)):
        executor = make_executor(kind)  # type: ignore[arg-type]
        task = Nothing(at_once)
        seconds(executor, task, options.few, options.keys)
        few = seconds(executor, task, options.few, options.keys)
        many = seconds(executor, task, options.many, options.keys)
        each = 1000 * (many - few) / (options.many - options.few)
        head = f"{kind:<6} {at_once} held by a worker: {few:6.2f} s for {options.few} units"
        print(f"{head}, {each:7.3f} ms for each further one")


if __name__ == "__main__":
    main()
