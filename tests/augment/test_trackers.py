"""Experiment trackers get the scalars of a training, and a training that goes on adds to its run."""

from __future__ import annotations

from pathlib import Path

import pytest

from augment import trackers
from augment.errors import UserError
from augment.scalars import scalar_writer


def test_mlflow_gets_one_run_for_a_training_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="the extra 'tracking' is not installed")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = tmp_path / "workspace" / "adapter" / "training"
    for taken, step in ((0, 1), (1, 2)):
        with scalar_writer(folder, taken, ["mlflow"]) as add:
            add(step, {"loss/denoising": 1 / step})
    client = MlflowClient()
    experiment = client.get_experiment_by_name(trackers.PROJECT)
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "loss/denoising")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5)]
    assert run.info.status == "FINISHED"


def test_a_lost_mlflow_server_is_a_warning_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("mlflow", reason="the extra 'tracking' is not installed")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("no answer")

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with scalar_writer(tmp_path / "training", 0, ["mlflow"]) as add:
        add(1, {"loss": 1.0})
        for call in ("log_batch", "set_terminated"):
            monkeypatch.setattr(MlflowClient, call, refuse)
        add(2, {"loss": 0.5})
    assert "MLflow did not take the figures of step 2: no answer" in caplog.text and "step 1" not in caplog.text
    assert "MLflow did not take the end of the run: no answer" in caplog.text


def test_wandb_writes_the_run_of_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="the extra 'tracking' is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with scalar_writer(tmp_path / "training", 0, ["wandb"]) as add:
        add(1, {"loss/denoising": 0.5})
    [written] = (tmp_path / "training").glob("wandb/offline-run-*/run-*.wandb")
    assert trackers._identity(tmp_path / "training") in written.name
    assert b"loss/denoising" in written.read_bytes()


def test_a_wandb_that_cannot_begin_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="the extra 'tracking' is not installed")

    def refuse(**_: object) -> None:
        raise wandb.errors.UsageError("api_key not configured\n(no-tty)")

    monkeypatch.setattr(wandb, "init", refuse)
    with (
        pytest.raises(UserError, match=r"^trackers: W&B cannot begin a run, .*: api_key not configured \(no-tty\)$"),
        scalar_writer(tmp_path / "training", 0, ["wandb"]),
    ):
        pass


def test_the_title_of_a_run_has_no_mark_of_an_unfinished_artifact() -> None:
    assert trackers._title(Path("/data/city/.adapter-0123456789ab.partial/training")) == "city/adapter/training"
    assert trackers._title(Path("/data/city/pretrain/diffusion")) == "city/pretrain/diffusion"


def test_a_tracker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        UserError, match=r"^trackers: 'wandb' is not installed: pip install 'lumen-layouts\[tracking\]'"
    ):
        trackers.require_trackers(["wandb"])


def test_an_mlflow_that_cannot_begin_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="the extra 'tracking' is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nothing://here")
    with (
        pytest.raises(UserError, match=r"^trackers: MLflow cannot begin a run, see MLFLOW_TRACKING_URI"),
        scalar_writer(tmp_path / "training", 0, ["mlflow"]),
    ):
        pass
