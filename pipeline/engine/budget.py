"""How many failed samples a run bears."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from augment.errors import UserError


@dataclass(frozen=True)
class ErrorBudget:
    """A share of the samples seen so far, and a count below which no share is looked at."""

    rate: float = 0.01
    minimum: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1 or self.minimum < 0:
            raise UserError(f"error budget: rate must be in 0..1 and minimum at least 0, got {self}")

    def allowed(self, samples: int) -> int:
        """The failures borne among this many samples."""
        return max(self.minimum, int(self.rate * samples))

    def __str__(self) -> str:
        return f"{self.rate:.3g} of the samples, at least {self.minimum}"


def top_reasons(reasons: Mapping[str, int], limit: int = 3) -> str:
    """The commonest reasons with their counts, commonest first, in one line."""
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    text = ", ".join(f"{count} x {reason}" for reason, count in ordered[:limit])
    return text + (f", and {len(ordered) - limit} more kinds" if len(ordered) > limit else "")
