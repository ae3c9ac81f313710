"""The unit of identity, scheduling, retry and commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.store import JSON, canonical_json, fingerprint


@dataclass(frozen=True)
class WorkUnit:
    """One output shard: its name, the keys of the input samples in order, and parameters of the stage."""

    shard: str
    keys: tuple[str, ...]
    params: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of all of it."""
        return fingerprint(self._content())

    def to_json(self) -> str:
        """The unit as JSON."""
        return canonical_json(self._content()).decode("utf-8")

    @classmethod
    def from_json(cls, text: str) -> WorkUnit:
        """The unit that ``to_json`` wrote."""
        content = json.loads(text)
        return cls(content["shard"], tuple(content["keys"]), content["params"])

    def _content(self) -> dict[str, JSON]:
        return {"shard": self.shard, "keys": list(self.keys), "params": dict(self.params)}
