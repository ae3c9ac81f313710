"""What an adapter is conditioned on: neural layouts, edges, depth or label maps, behind one protocol."""

from __future__ import annotations

from augment.conditioning.conditioning import Conditioning
from augment.conditioning.options import LAYOUT, TITLES, ConditioningKind

__all__ = ["LAYOUT", "TITLES", "Conditioning", "ConditioningKind"]
