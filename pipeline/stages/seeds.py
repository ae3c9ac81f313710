"""Seeds of samples."""

from __future__ import annotations

import hashlib


def stable_seed(*parts: str | int) -> int:
    """A seed in 0..2**63 - 1 that depends on the parts alone, on any machine."""
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
