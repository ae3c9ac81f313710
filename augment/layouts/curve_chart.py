"""The chart of what bases keep, by the number of components."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from augment.layouts.curves import mean_of

if TYPE_CHECKING:
    from augment.layouts.curves import Curves, KPoint

_COLOURS = ("#1f6fb4", "#c8501e", "#6b7280")


# Title of each panel, and its lines: name -> figure of a point, in the unit of the axis; None where it is unknown.
_PANELS: Mapping[str, Mapping[str, Callable[[KPoint], float | None]]] = {
    "probe mIoU: classes kept": {
        "unchanged images": lambda point: point.miou,
        "changed images": lambda point: mean_of(point.changed_miou.values()),
    },
    "R² of the change: appearance leaked": {
        "off the image's mean": lambda point: mean_of(point.leak.values()),
        "off one cell": lambda point: mean_of(point.cell_leak.values()),
    },
    "share of the variance": {
        "explained": lambda point: point.explained,
        "explained by position": lambda point: point.position,
    },
}
_DASHES = ("-", "--")


def curve_chart(curves: Mapping[str, Curves]) -> str:
    """Draw the curves of each basis over k, in three panels: classes kept, appearance leaked, variance.

    Args:
        curves: name of a basis -> what it keeps.

    Returns:
        An SVG document.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Identifiers in the document are random without a salt.
    with rc_context({"svg.hashsalt": "lumen", "font.size": 9, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(13, 4), layout="constrained")
        panels = figure.subplots(1, len(_PANELS))
        for panel, (title, lines) in zip(panels, _PANELS.items(), strict=True):
            for colour, (basis, found) in zip(_COLOURS, curves.items(), strict=False):
                for dash, (name, value) in zip(_DASHES, lines.items(), strict=True):
                    known = [(point.k, value(point)) for point in found.points if value(point) is not None]
                    if known:
                        panel.plot(*zip(*known, strict=True), dash, color=colour, marker=".", label=f"{basis}: {name}")
            panel.set_title(title, fontsize=10)
            panel.set_xlabel("components k")
            panel.set_ylim(bottom=0)
            panel.grid(alpha=0.3)
            if panel.lines:
                # Below the panel, where it covers no curve.
                panel.legend(fontsize=7, handlelength=3, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.17))
        document = io.StringIO()
        figure.savefig(document, format="svg", metadata={"Date": None})
    return document.getvalue()
