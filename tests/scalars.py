"""Reading what trainings write for TensorBoard."""

from __future__ import annotations

import struct
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event

from augment.scalars import SCALARS


def read_scalars(folder: Path, tag: str) -> dict[int, float]:
    """The values of a scalar by step, as TensorBoard shows them: a resumed run replaces what was written past it."""
    found: dict[int, float] = {}
    for path in sorted((folder / SCALARS).iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data, position = path.read_bytes(), 0
        while position < len(data):
            (length,) = struct.unpack_from("<Q", data, position)
            event = Event.FromString(data[position + 12 : position + 12 + length])
            position += 16 + length
            if event.HasField("session_log"):
                found = {step: value for step, value in found.items() if step < event.step}
            found.update((event.step, value.simple_value) for value in event.summary.value if value.tag == tag)
    return found
