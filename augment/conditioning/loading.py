"""From the record of an adapter to the conditioning that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augment.conditioning.canny import Canny
from augment.conditioning.label_map import LabelMap
from augment.conditioning.options import LAYOUT
from augment.conditioning.record import changed_facts, saved_conditioning
from augment.conditioning.soft_edge import SoftEdge
from augment.errors import UserError

if TYPE_CHECKING:
    from augment.conditioning.conditioning import Conditioning


def conditioning_of(adapter: Path, device: str = "cpu", model: str | None = None) -> Conditioning:
    """Load what the adapter in a folder reads.

    Args:
        adapter: folder with an adapter, and its basis or the record of its conditioning.
        device: torch device of the backbone or depth model.
        model: where to load that model from; None takes the recorded place.

    Raises:
        UserError: the model cannot be loaded, or is not the one that the adapter was trained with.
    """
    facts = saved_conditioning(adapter)
    if facts["kind"] == LAYOUT:
        return _neural_layout(adapter, device, model)
    if facts["kind"] == Canny.kind:
        return Canny(facts["low"], facts["high"])
    if facts["kind"] == SoftEdge.kind:
        return SoftEdge(facts["sigma"])
    if facts["kind"] == LabelMap.kind:
        return LabelMap(tuple(facts["classes"]), facts["ignore_index"])
    return _depth(adapter, facts, device, model)


def _neural_layout(adapter: Path, device: str, model: str | None) -> Conditioning:
    from augment.backbones import load_backbone
    from augment.conditioning.neural_layout import NeuralLayout
    from augment.layouts.basis import LayoutBasis

    basis = LayoutBasis.load(adapter / "basis")
    encoder = load_backbone(model or basis.backbone, device)
    if encoder.revision != basis.revision:
        raise UserError(
            f"{adapter} was trained on layouts of {basis.backbone!r}, revision {basis.revision[:8]}, and "
            f"{encoder.name!r} has revision {encoder.revision[:8]}: give the backbone that it was trained with"
        )
    return NeuralLayout(encoder, basis, basis.num_components)


def _depth(adapter: Path, facts: Mapping[str, Any], device: str, model: str | None) -> Conditioning:
    from augment.conditioning.depth import Depth

    depth = Depth(model or facts["model"], device)
    if changes := changed_facts(facts, depth.facts()):
        raise UserError(f"{adapter} was trained with another depth model than {depth.model!r}: {changes}")
    return depth
