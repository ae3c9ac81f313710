"""The metrics endpoint of a node counts the work of a stage for Prometheus."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path

import pytest

from pipeline.engine import ErrorBudget, make_executor, run_store_stage
from pipeline.store import Store
from tests.pipeline.engine import stages

# Ray passes on what a process has counted every ten seconds.
DEADLINE_SECONDS = 60


def exposed(stage: str) -> dict[str, float]:
    """The value of every metric of a stage, as the endpoint of this node has it."""
    import ray
    from prometheus_client.parser import text_string_to_metric_families

    [node] = [node for node in ray.nodes() if node["Alive"]]
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(address, timeout=DEADLINE_SECONDS) as response:
        families = list(text_string_to_metric_families(response.read().decode()))
    return {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("stage") == stage and "le" not in sample.labels
    }


@pytest.mark.usefixtures("ray_cluster")
def test_the_endpoint_of_a_node_counts_the_work_of_a_stage(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="the metrics endpoint of Ray comes with the cluster extra")
    store = Store.create(str(tmp_path), stages.MANIFEST)
    stage = stages.Variants(name="counted", fails=frozenset({"k001"}), drops=frozenset({"k007"}))
    run_store_stage(stage, stages.Noise(), store, stages.plan(3), make_executor("ray"), ErrorBudget(), print)
    expected = {
        "ray_lumen_units_planned": 3,
        "ray_lumen_units_total": 3,
        "ray_lumen_samples_total": 26,
        "ray_lumen_failures_total": 1,
        "ray_lumen_dropped_total": 1,
        "ray_lumen_unit_seconds_count": 3,
    }
    found: dict[str, float] = {}
    deadline = time.monotonic() + DEADLINE_SECONDS
    # A gauge is shown once, so what was seen is kept.
    while not expected.keys() <= found.keys() and time.monotonic() < deadline:
        found |= exposed("counted")
        time.sleep(1)
    assert {name: found.get(name) for name in expected} == expected
