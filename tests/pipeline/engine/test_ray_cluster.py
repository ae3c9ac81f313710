"""A wait for a cluster that does not answer, or that has no room, is always reported."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.data
import ray.data.exceptions
import ray.exceptions

from augment.errors import UserError
from pipeline.engine import Resources, RunFailed, make_executor, ray_cluster, ray_pool
from pipeline.engine.ray_cluster import connect, ray_errors, temp_dir
from pipeline.engine.ray_pool import RESERVED_CPUS, shortage
from tests.pipeline.engine import stages


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is on no cluster, whatever other tests have started."""
    monkeypatch.setattr("pipeline.engine.ray_cluster.ray.is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("given", ["setting", "RAY_ADDRESS", "auto"])
def test_address_where_nothing_listens_is_refused_at_once(
    given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        if given == "RAY_ADDRESS":
            monkeypatch.setenv("RAY_ADDRESS", address)
        if given == "auto":
            # What the last cluster of this machine has left.
            monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
            monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)
            (tmp_path / "ray").mkdir()
            (tmp_path / "ray" / "ray_current_cluster").write_text(address)
        asked = {"setting": address, "RAY_ADDRESS": None, "auto": "auto"}[given]
        with pytest.raises(UserError) as error:
            connect(asked, print)
    message = str(error.value)
    assert message.startswith(f"cluster.address: no Ray cluster answers at {asked or address}: nothing listens at ")
    assert address.rpartition(":")[2] in message.partition("listens")[2]
    assert "\n" not in message


@pytest.mark.usefixtures("apart")
def test_wait_for_a_slow_cluster_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reported, lines = threading.Event(), []

    def report(line: str) -> None:
        lines.append(line)
        reported.set()

    monkeypatch.setattr(ray_cluster, "_ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(ray_cluster, "_init", lambda **_: reported.wait(30))
    with socket.create_server(("", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        connect(address, report)
    assert [line.partition(",")[0] for line in lines] == [f"waiting for the Ray cluster at {address}"]


@pytest.mark.usefixtures("ray_cluster")
def test_wait_for_room_that_others_hold_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def here(self) -> bool:
            return True

    other: Any = ray.remote(num_cpus=1)(Other).remote()
    assert ray.get(other.here.remote())
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        ray.kill(other)

    monkeypatch.setattr(ray_pool, "_REPORT_AFTER_SECONDS", 1.0)
    results = list(make_executor("ray", report=report).map(stages.Task(), stages.plan(2)))
    assert lines == ["probe: waiting for 2 CPU slots (1 free): others are using the cluster"]
    assert len(results) == 2


@pytest.mark.parametrize(
    ("resources", "free", "lack"),
    [
        (Resources(), {"CPU": 2}, ""),
        (Resources(), {}, "2 CPU slots (0 free)"),
        (Resources(num_cpus=4, num_gpus=1), {"CPU": 16}, "1 GPU slots (0 free)"),
        (Resources(num_cpus=4, num_gpus=1), {"CPU": 4, "GPU": 0.5}, "5 CPU slots (4 free) and 1 GPU slots (0.5 free)"),
    ],
)
def test_lack_of_room_is_what_one_worker_and_the_reserve_need(
    resources: Resources, free: dict[str, float], lack: str
) -> None:
    assert shortage(resources, free, RESERVED_CPUS) == lack


@pytest.mark.usefixtures("apart")
def test_start_that_is_too_slow_for_ray_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[str] = []
    lines: list[str] = []

    def slow(**_: object) -> None:
        starts.append("start")
        if starts.count("start") < 3:
            raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray_cluster, "_init", slow)
    monkeypatch.setattr("pipeline.engine.ray_cluster.ray.shutdown", lambda: starts.append("stop"))
    connect(None, lines.append)
    assert starts == ["start", "stop", "start", "stop", "start"]
    assert lines == [f"Ray is slow to start on this machine, trying again ({attempt} of 4)" for attempt in (1, 2)]


@pytest.mark.usefixtures("apart")
def test_machine_on_which_ray_does_not_start_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(**_: object) -> None:
        raise Exception("The current node timed out during startup.\nThis could happen because ...")

    monkeypatch.setattr(ray_cluster, "_init", never)
    monkeypatch.setattr("pipeline.engine.ray_cluster.ray.shutdown", lambda: None)
    with pytest.raises(RunFailed) as raised:
        connect(None, lambda _: None)
    assert str(raised.value).startswith("Ray does not start on this machine, tried 4 times (The current node timed out")
    assert str(raised.value).endswith("or run in one process with --executor serial")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_folder_for_sockets_is_short_whatever_the_environment_names(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    assert temp_dir() is None
    monkeypatch.setenv(variable, "/scratch/job")
    assert temp_dir() is None
    monkeypatch.setenv(variable, f"/scratch/{'ü' * 20}")
    chosen = temp_dir()
    assert chosen is not None and len(chosen) < 35


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            ray.exceptions.ObjectStoreFullError("The object store is full.\nMore"),
            "probe: Ray stopped the work (ObjectStoreFullError: Failed to put object",
        ),
        (
            ray.data.exceptions.ExecutionTimeoutError("Dataset execution made no progress.\nOperators:"),
            "probe: Ray stopped the work (ExecutionTimeoutError: Dataset execution made no progress): give the same",
        ),
    ],
)
def test_errors_of_ray_become_one_line_with_cause_and_remedy(error: Exception, line: str) -> None:
    with pytest.raises(RunFailed) as raised, ray_errors("probe"):
        raise error
    assert str(raised.value).startswith(line.partition(": Failed")[0])
    assert str(raised.value).endswith("give the same command again; it goes on from what is done")
    assert "\n" not in str(raised.value)


def test_error_in_a_worker_is_named_by_its_cause_and_not_by_its_traceback() -> None:
    cause = "ModuleNotFoundError: No module named 'tifffile'"
    trace = f"\x1b[36mray::TrainingActor.__init__()\x1b[39m (pid=1)\n  File ...\n{cause}\n"
    error = ray.exceptions.RayTaskError("__init__", trace, ModuleNotFoundError("No module named 'tifffile'"))
    with pytest.raises(RunFailed) as raised, ray_errors("adapt"):
        raise error
    assert str(raised.value) == (
        "adapt: Ray stopped the work (ModuleNotFoundError: No module named 'tifffile'): install the same version of "
        "lumen, with the same extras, on every node"
    )


@pytest.mark.usefixtures("apart")
def test_folder_that_ray_cannot_write_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwritable(**_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "/proc/nowhere/ray")

    monkeypatch.setenv("RAY_TMPDIR", "/proc/nowhere")
    monkeypatch.setattr(ray_cluster, "_init", unwritable)
    monkeypatch.setattr("pipeline.engine.ray_cluster.ray.shutdown", lambda: None)
    lines: list[str] = []
    with pytest.raises(UserError, match=r"Ray cannot write its files in /proc/nowhere \(.*\): set RAY_TMPDIR"):
        connect(None, lines.append)
    assert lines == []


def test_errors_that_are_not_of_ray_stay_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError), ray_errors("probe"):
        raise ZeroDivisionError
