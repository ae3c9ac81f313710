"""TensorBoard scalars of a training, in a folder beside its log."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

# Beside the loss log of a training.
SCALARS = "tensorboard"


class AddScalars(Protocol):
    """Writes scalars of one step."""

    def __call__(self, step: int, values: Mapping[str, float]) -> None: ...


@contextmanager
def scalar_writer(folder: Path, taken: int) -> Iterator[AddScalars]:
    """Yield a function that writes scalars below `folder` for TensorBoard.

    Args:
        folder: folder of the training; the events go to `tensorboard` inside it.
        taken: steps already done; TensorBoard drops later steps that an interrupted run wrote.
    """
    from tensorboardX import SummaryWriter

    # File names hold the second of the start, and a training may resume within the same second.
    suffix = f".{os.getpid()}.{taken}"
    with SummaryWriter(str(folder / SCALARS), purge_step=taken + 1, flush_secs=30, filename_suffix=suffix) as writer:

        def add(step: int, values: Mapping[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        yield add
