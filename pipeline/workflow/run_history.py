"""A record of the runs that made a workspace: when, with what, on what, and how long each stage took."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from augment.errors import UserError
from augment.files import write_whole
from pipeline.checks.resources import joins_cluster
from pipeline.config import Config
from pipeline.workflow.doctor import PACKAGES

# File of a workspace, a list of runs. It changes no result, and the report shows it.
HISTORY = "history.json"
_SOURCE = Path(__file__).parents[2]


class RunRecord:
    """One run; each stage that it has done is written at once, so that a kill loses nothing."""

    def __init__(self, config: Config, clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
        self.path = config.workspace / HISTORY
        self.before = read_history(self.path)
        self.seconds: dict[str, float] = {}
        self.facts: dict[str, Any] = {
            "date": clock().strftime("%Y-%m-%d %H:%M UTC"),
            "lumen": _version("lumen-layouts") or "from source",
            "commit": commit(),
            "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        }
        self.cluster = joins_cluster(config)

    def add(self, stage: str, seconds: float) -> None:
        """Record that a stage is done."""
        self.seconds[stage] = round(seconds, 1)
        # A cluster is known only when a stage has joined it.
        facts = {**self.facts, "machine": machine(cluster=self.cluster)}
        history = [*self.before, {**facts, "seconds": self.seconds}]
        write_whole(self.path, json.dumps(history, indent=1) + "\n")


def read_history(path: Path) -> list[dict[str, Any]]:
    """The runs of a workspace, oldest first; none where they were not recorded.

    Raises:
        UserError: the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        history = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): remove it; it changes no result") from error
    if not isinstance(history, list):
        raise UserError(f"{path} is damaged (no list of runs): remove it; it changes no result")
    return history


def commit() -> str | None:
    """Commit of the source and whether files differ from it; None where it is installed without git."""
    if not (_SOURCE / ".git").exists():
        return None
    head = _output(["git", "rev-parse", "HEAD"])
    changed = _output(["git", "status", "--porcelain", "--untracked-files=no"])
    return head and head[:12] + (" with local changes" if changed else "")


def machine(*, cluster: bool) -> str:
    """Processors and GPUs of this machine, and of the Ray cluster that a run has joined."""
    # Not by torch, which would keep a part of every GPU for this process.
    gpus = _output(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    here = f"{os.cpu_count()} CPU cores ({_processor()}), {', '.join(gpus.splitlines()) if gpus else 'no GPU'}"
    if not cluster:
        return here
    import ray

    found = ray.cluster_resources() if ray.is_initialized() else {}
    kinds = sorted(name.partition(":")[2] for name in found if name.startswith("accelerator_type:"))
    counts = f"{found.get('CPU', 0):g} CPUs, {found.get('GPU', 0):g} GPUs"
    return f"Ray cluster of {' '.join([counts, *kinds])}; started on {here}"


def _output(command: Sequence[str]) -> str | None:
    """What a command prints; None where it is missing or fails."""
    try:
        done = subprocess.run(command, cwd=_SOURCE, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
