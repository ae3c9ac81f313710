"""Experiment trackers that take the scalars of a training: Weights & Biases and MLflow."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from augment.errors import UserError

Tracker = Literal["wandb", "mlflow"]
PROJECT = "lumen"
# The tag of an MLflow run that says which training it is of.
TRAINING_TAG = "lumen.training"
# The folder of an artifact while it is made.
UNFINISHED = re.compile(r"^\.(.+)-[0-9a-f]+\.partial$")
LOG = logging.getLogger(__name__)


class AddScalars(Protocol):
    """Writes scalars of one step."""

    def __call__(self, step: int, values: Mapping[str, float]) -> None: ...


def require_trackers(trackers: Sequence[Tracker]) -> None:
    """Check that the packages of trackers are installed.

    Raises:
        UserError: one is not.
    """
    for name in trackers:
        if importlib.util.find_spec(name) is None:
            raise UserError(f"trackers: {name!r} is not installed: pip install 'lumen-layouts[tracking]', or remove it")


def opened(tracker: Tracker, folder: Path) -> AbstractContextManager[AddScalars]:
    """A run of a tracker for the training in a folder; a training that goes on adds to the run that it began."""
    require_trackers([tracker])
    return _wandb_run(folder) if tracker == "wandb" else _mlflow_run(folder)


@contextmanager
def _wandb_run(folder: Path) -> Iterator[AddScalars]:
    """A run of W&B; project, entity and server come from its own environment variables (`WANDB_PROJECT`, ...)."""
    import wandb
    from wandb.errors import Error as WandbError

    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=_identity(folder),
            name=_title(folder),
            dir=str(folder),
            resume="allow",
            settings=wandb.Settings(silent=True),
        )
    except WandbError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"trackers: W&B cannot begin a run, see wandb login and WANDB_BASE_URL, or set WANDB_MODE=offline: {reason}"
        ) from error

    def add(step: int, values: Mapping[str, float]) -> None:
        try:
            run.log(dict(values), step=step)
        except WandbError as error:
            _warn("W&B", f"the figures of step {step}", error)

    try:
        yield add
    finally:
        try:
            run.finish()
        except WandbError as error:
            _warn("W&B", "the end of the run", error)


@contextmanager
def _mlflow_run(folder: Path) -> Iterator[AddScalars]:
    """A run of MLflow on the server of `MLFLOW_TRACKING_URI`, in the experiment of `MLFLOW_EXPERIMENT_NAME`."""
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        client: Any = MlflowClient()
        run = _found_run(client, folder)
    except MlflowException as error:
        raise UserError(f"trackers: MLflow cannot begin a run, see MLFLOW_TRACKING_URI: {error}") from error

    def add(step: int, values: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        try:
            client.log_batch(run, metrics=[Metric(name, value, now, step) for name, value in values.items()])
        except MlflowException as error:
            _warn("MLflow", f"the figures of step {step}", error)

    yield add
    try:
        client.set_terminated(run)
    except MlflowException as error:
        _warn("MLflow", "the end of the run", error)


def _found_run(client: Any, folder: Path) -> str:
    """The id of the run of this training, which is made if there is none."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    experiment = client.get_experiment_by_name(name)
    number = client.create_experiment(name) if experiment is None else experiment.experiment_id
    identity = _identity(folder)
    found = client.search_runs([number], f"tags.`{TRAINING_TAG}` = '{identity}'", max_results=1)
    if found:
        client.update_run(found[0].info.run_id, status="RUNNING")
        return str(found[0].info.run_id)
    return str(client.create_run(number, run_name=_title(folder), tags={TRAINING_TAG: identity}).info.run_id)


def _warn(tracker: str, what: str, error: Exception) -> None:
    # A training of days must not end with the server that shows its curves; its own log has every figure.
    LOG.warning("%s did not take %s: %s", tracker, what, error)


def _identity(folder: Path) -> str:
    return hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]


def _title(folder: Path) -> str:
    """The last parts of the path, without the marks of a result that is not finished: workspace and artifact."""
    return "/".join(UNFINISHED.sub(r"\1", part) for part in folder.absolute().parts[-3:])
