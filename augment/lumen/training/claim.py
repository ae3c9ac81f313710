"""Whose turn it is to write to the folder of a training."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from augment.errors import UserError
from augment.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

OWNER = ".owner"


class Claim:
    """Makes the folder of a training that of this process.

    A worker that was given up, because its driver or node was lost, may train on for a while. It finds that another
    process has taken over, and writes no more: each row of the log is there once.

    Args:
        folder: of the training.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._token = folder / OWNER, uuid.uuid4().hex
        write_whole(self._path, self._token)

    def require(self) -> None:
        """Check that no other process has taken over.

        Raises:
            UserError: one has.
        """
        if not self._path.exists() or self._path.read_text() != self._token:
            raise UserError(f"{self._path.parent}: another process has taken over this training, so this one ends")

    def release(self) -> None:
        """Give the folder back at the end of the training; raises UserError if another process has it."""
        self.require()
        self._path.unlink(missing_ok=True)
