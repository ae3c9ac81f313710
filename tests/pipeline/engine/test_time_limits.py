"""No limit of Ray's ends healthy work, and its folder for sockets is short enough, wherever TMPDIR leads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Units and a training that take longer than Ray Data may go without progress, and room that is free only after that.
WORK = """
import sys, threading, time
from pathlib import Path
from tests.pipeline.engine import stages, trainings
from pipeline.engine import make_executor

class Slow(stages.Task):
    def run(self, unit):
        time.sleep(4)
        return super().run(unit)

class Holder:
    def here(self):
        return True

executor = make_executor("ray")
print(len(list(executor.map(Slow(), stages.plan(1)))), flush=True)

import ray
slots = ray.cluster_resources()["CPU"]
holder = ray.remote(num_cpus=slots)(Holder).remote()
ray.get(holder.here.remote())
threading.Timer(6, ray.kill, [holder]).start()
print(len(list(executor.map(stages.Task(), stages.plan(1)))), flush=True)

task = trainings.Counting(sys.argv[1], steps=2, seconds=4.0)
print(len(list(executor.train(task, trainings.units(1), lambda *_: None))), flush=True)
print(ray._private.worker._global_node.get_session_dir_path(), flush=True)
"""


def test_slow_units_waits_for_room_and_trainings_outlast_the_limits_of_ray(tmp_path: Path) -> None:
    long_path = tmp_path / "job" / ("folder-of-a-batch-system-" * 4)
    long_path.mkdir(parents=True)
    environment = {**os.environ, "RAY_DATA_EXECUTION_NO_PROGRESS_TIMEOUT_S": "2", "TMPDIR": str(long_path)}
    environment = {name: value for name, value in environment.items() if name not in ("RAY_ADDRESS", "RAY_TMPDIR")}
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(tmp_path)],
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *counts, session = done.stdout.splitlines()
    assert [line for line in counts if line.isdigit()] == ["1", "1", "1"]
    assert not session.startswith(str(long_path))
