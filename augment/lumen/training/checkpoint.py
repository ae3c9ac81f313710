"""The checkpoint of a training: copied to host memory, then written by a thread while the training goes on."""

from __future__ import annotations

import json
import os
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from augment.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

CHECKPOINT = "checkpoint.safetensors"


class Files(Protocol):
    """Where a checkpoint is kept: a folder, or a location of an object store."""

    def exists(self, path: str) -> bool:
        """Whether the file is there."""

    def fetched(self, path: str) -> AbstractContextManager[Path]:
        """The file on a local disk."""

    def scratch(self, name: str) -> Path:
        """A path on a local disk to write to."""

    def sweep(self) -> object:
        """Remove what killed processes have left."""

    def publish(self, scratch: Path, path: str) -> None:
        """Give a written file its name at once, in place of the earlier one."""

    def remove(self, path: str) -> None:
        """Remove the file if it is there."""

    def full(self, path: str) -> str:
        """The file as the user finds it."""


class Folder:
    """Files in a local folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def exists(self, path: str) -> bool:
        """Whether the file is there."""
        return (self._root / path).is_file()

    def fetched(self, path: str) -> AbstractContextManager[Path]:
        """The file itself."""
        return nullcontext(self._root / path)

    def scratch(self, name: str) -> Path:
        """A path beside the file, of this process alone: one that is about to be killed may still write to its own."""
        return self._root / f".{name}.{socket.gethostname()}.{os.getpid()}.tmp"

    def sweep(self) -> None:
        """Remove what killed processes have left."""
        for path in self._root.glob(f".{CHECKPOINT}.*.tmp"):
            path.unlink(missing_ok=True)

    def publish(self, scratch: Path, path: str) -> None:
        """Rename the scratch file."""
        scratch.replace(self._root / path)

    def remove(self, path: str) -> None:
        """Remove the file if it is there."""
        (self._root / path).unlink(missing_ok=True)

    def full(self, path: str) -> str:
        """The path of the file."""
        return str(self._root / path)


class Checkpoint:
    """The last checkpoint of a training; a kill at any moment leaves the old one or the new one.

    `save` returns as soon as all tensors are in host memory. There, and on the disk, are at most two checkpoints at a
    time.

    Args:
        files: where it is kept.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def exists(self) -> bool:
        """Whether there is one."""
        return self._files.exists(CHECKPOINT)

    def sweep(self) -> None:
        """Remove what killed processes have left; called before the first `save` of a process."""
        self._files.sweep()

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write tensors and JSON values in the background; raises what the write before raised."""
        self.wait()
        kept = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
        self._writing = self._writer.submit(self._write, kept, {"facts": json.dumps(dict(facts))})

    def wait(self) -> None:
        """Wait until the last checkpoint is written; raises what the write raised."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors in host memory, and the JSON values.

        Raises:
            UserError: the file is damaged.
        """
        try:
            with self._files.fetched(CHECKPOINT) as path, safe_open(path, framework="pt") as content:
                tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
                metadata = content.metadata() or {}
        except SafetensorError as error:
            raise UserError(
                f"{self._files.full(CHECKPOINT)} is damaged ({error}): remove it, and the training begins again"
            ) from error
        if "facts" in metadata:
            return tensors, dict(json.loads(metadata["facts"]))
        # As earlier versions wrote it.
        return tensors, {"recent": json.loads(metadata.get("recent", "[]"))}

    def remove(self) -> None:
        """Remove it."""
        self._files.remove(CHECKPOINT)

    def _write(self, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        scratch = self._files.scratch(CHECKPOINT)
        try:
            save_file(tensors, scratch, metadata=metadata)
            # Else a loss of power may leave the new name with a part of the bytes, and the old file is gone.
            with scratch.open("rb") as stream:
                os.fsync(stream.fileno())
            self._files.publish(scratch, CHECKPOINT)
        finally:
            scratch.unlink(missing_ok=True)
