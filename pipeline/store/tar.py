"""Tar archives with reproducible bytes, written as a stream."""

from __future__ import annotations

import hashlib
import tarfile
from typing import BinaryIO


class TarStream:
    """Appends members to a stream and keeps the SHA-256 and the size of what was written.

    Owner, mode and time are constants, so equal members give equal bytes.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def append(self, name: str, data: bytes) -> int:
        """Write one member and return the offset of its data in the archive."""
        header = tarfile.TarInfo(name)
        header.size = len(data)
        header.mode = 0o644
        # PAX writes a plain USTAR header except where a long name or a huge size needs more.
        self._write(header.tobuf(tarfile.PAX_FORMAT))
        offset = self.size
        self._write(data)
        self._write(bytes(-self.size % tarfile.BLOCKSIZE))
        return offset

    def finish(self) -> str:
        """Write the end of the archive and return the SHA-256 of all of it."""
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._write(bytes(-self.size % tarfile.RECORDSIZE))
        return self._hash.hexdigest()

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self._hash.update(data)
        self.size += len(data)
