"""The size of a pool on a cluster, and the threads of its workers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from augment.errors import UserError
from pipeline.engine import Resources
from pipeline.engine.ray_pool import RESERVED_CPUS, pool_size, threads_per_worker
from pipeline.engine.worker import free_cores

NODES = st.lists(
    st.fixed_dictionaries({"CPU": st.integers(0, 64).map(float), "GPU": st.integers(0, 8).map(float)}),
    max_size=5,
)


@given(NODES, st.integers(1, 8), st.integers(0, 2), st.just("auto") | st.integers(1, 40), st.integers(1, 100))
def test_a_pool_fits_its_nodes_and_leaves_a_cpu(
    nodes: list[dict[str, float]], num_cpus: int, num_gpus: int, workers: Any, units: int
) -> None:
    resources = Resources(num_cpus=num_cpus, num_gpus=num_gpus, workers=workers)
    try:
        size = pool_size("generate", resources, nodes, units, RESERVED_CPUS)
    except UserError:
        return
    assert 1 <= size <= units
    assert size * num_cpus <= sum(node["CPU"] for node in nodes) - 1
    slots = [min(node["CPU"] // num_cpus, node["GPU"] // num_gpus if num_gpus else 99) for node in nodes]
    assert size <= sum(slots)
    assert 1 <= threads_per_worker(resources, nodes, size) <= max(node["CPU"] for node in nodes)


@pytest.mark.parametrize(
    ("nodes", "resources", "size", "threads"),
    [
        ([{"CPU": 2}], Resources(), 1, 2),
        ([{"CPU": 2}], Resources(threads=1), 1, 1),
        ([{"CPU": 16}], Resources(), 15, 1),
        ([{"CPU": 16}], Resources(workers=4), 4, 4),
        ([{"CPU": 16, "GPU": 4}], Resources(num_gpus=1), 4, 4),
        ([{"CPU": 4}] + 8 * [{"CPU": 64, "GPU": 8}], Resources(num_cpus=4, num_gpus=1), 64, 8),
        ([{"CPU": 2}, {"CPU": 2}], Resources(num_cpus=2), 1, 2),
        ([{"CPU": 16}], Resources(workers=40), 10, 1),
        ([{"CPU": 3, "lumen_coreless_slots": 1}], Resources(), 2, 1),
        ([{"CPU": 3, "lumen_coreless_slots": 1}], Resources(workers=1), 1, 2),
    ],
)
def test_the_pool_of_a_cluster(nodes: list[dict[str, float]], resources: Resources, size: int, threads: int) -> None:
    assert pool_size("generate", resources, nodes, 10 if resources.workers == 40 else 1000, RESERVED_CPUS) == size
    assert threads_per_worker(resources, nodes, size) == threads


def test_the_refusal_names_what_there_is_and_what_to_change() -> None:
    with pytest.raises(UserError) as raised:
        pool_size("generate", Resources(num_cpus=4, num_gpus=1, workers=8), [{"CPU": 16, "GPU": 2}], 100, RESERVED_CPUS)
    message = str(raised.value)
    assert "16 CPU and 2 GPU" in message
    assert "holds 2 worker(s) of 4 CPU and 1 GPU" in message
    assert "asks for 8" in message
    assert "workers" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "fields",
    [
        {"num_cpus": 0},
        {"num_gpus": -1},
        {"workers": 0},
        {"threads": 0},
        {"unit_timeout": 0},
        {"setup_timeout": 0},
    ],
)
def test_resources_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        Resources(**fields)


def test_cores_that_others_use_are_left_to_them() -> None:
    nodes = [{"CPU": 17, "lumen_coreless_slots": 1}]
    assert threads_per_worker(Resources(), nodes, 2, free=16) == 8
    assert threads_per_worker(Resources(), nodes, 2, free=5) == 2
    assert threads_per_worker(Resources(), nodes, 2, free=1) == 1
    assert threads_per_worker(Resources(threads=4), nodes, 2, free=1) == 4


def test_free_cores_are_fewer_while_every_core_is_busy() -> None:
    count = os.cpu_count() or 1
    assert 1 <= free_cores(0.05) <= count
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * count)]
    try:
        time.sleep(0.5)
        assert free_cores(0.5) == 1
    finally:
        for process in busy:
            process.kill()
            process.wait()
