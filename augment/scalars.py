"""The scalars of a training: for TensorBoard in a folder beside its log, and for experiment trackers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from augment.trackers import AddScalars, Tracker, opened

# Beside the loss log of a training.
SCALARS = "tensorboard"


@contextmanager
def scalar_writer(folder: Path, taken: int, trackers: Sequence[Tracker] = ()) -> Iterator[AddScalars]:
    """Yield a function that writes scalars below `folder` for TensorBoard, and to trackers.

    Args:
        folder: folder of the training; the events go to `tensorboard` inside it.
        taken: steps already done; TensorBoard drops later steps that an interrupted run wrote.
        trackers: further places to write to.

    Raises:
        UserError: the package of a tracker is not installed.
    """
    with ExitStack() as stack:
        writers = [stack.enter_context(_tensorboard(folder, taken))]
        writers += [stack.enter_context(opened(tracker, folder)) for tracker in trackers]

        def add(step: int, values: Mapping[str, float]) -> None:
            for writer in writers:
                writer(step, values)

        yield add


@contextmanager
def _tensorboard(folder: Path, taken: int) -> Iterator[AddScalars]:
    from tensorboardX import SummaryWriter

    # File names hold the second of the start, and a training may resume within the same second.
    suffix = f".{os.getpid()}.{taken}"
    with SummaryWriter(str(folder / SCALARS), purge_step=taken + 1, flush_secs=30, filename_suffix=suffix) as writer:

        def add(step: int, values: Mapping[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        yield add
