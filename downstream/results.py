"""Results of finished training runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from augment.errors import UserError
from augment.files import write_whole

RESULT = "result.json"


class ArmFailed(UserError):  # noqa: N818 - it says what happened
    """An arm cannot be trained: it has no samples, its labels show nothing to learn, or its training diverges."""


@dataclass(frozen=True)
class RunResult:
    """Result of a finished run: its evaluation on the real validation split.

    Attributes:
        mix: name of the mix.
        seed: of weights, order and augmentation.
        iterations: optimizer steps.
        miou: mean intersection over union, 0..1, over the classes in label or prediction.
        aacc: share of labelled pixels predicted right, 0..1.
        iou: class -> intersection over union; None for absent classes.
        losses: (iteration, mean training loss since the previous point).
        seconds: wall-clock seconds of training and evaluation, over all attempts since the last resume.
        fingerprint: of everything that the result depends on.
        inputs: the values that the fingerprint covers.
        images: validation images that it was measured on; None in results of versions that did not count them.
        pixels: class -> labelled pixels of it in those images; empty in results of such versions.
    """

    mix: str
    seed: int
    iterations: int
    miou: float
    aacc: float
    iou: Mapping[str, float | None]
    losses: list[tuple[int, float]]
    seconds: float
    fingerprint: str
    inputs: Mapping[str, Any]
    images: int | None = None
    pixels: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RunResult:
        """Inverse of `to_json`."""
        return cls(**{**content, "losses": [(int(at), float(loss)) for at, loss in content["losses"]]})


def read_result(run_dir: Path) -> RunResult | None:
    """The result in a run's folder, or None while the run is not finished."""
    path = run_dir / RESULT
    return RunResult.from_json(json.loads(path.read_text())) if path.is_file() else None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON to `path`, its keys sorted."""
    write_whole(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
