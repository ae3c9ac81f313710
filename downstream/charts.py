"""A small chart as SVG; the style sheet of the page colours it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from downstream.page.gain_chart import ticks

_WIDTH = 620
_RIGHT = 24


@dataclass(frozen=True)
class Point:
    """A named point of a trade-off chart."""

    name: str
    x: float
    y: float


def trade_off_chart(
    points: Sequence[Point], x_title: str, y_title: str, x_unit: str = " %", y_unit: str = " %"
) -> Markup:
    """Chart named points joined in their order."""
    height, top, bottom, left = 300, 20, 48, 64
    x_low, x_high = _padded([point.x for point in points])
    y_low, y_high = _padded([point.y for point in points])

    def x(value: float) -> float:
        return left + (value - x_low) / (x_high - x_low) * (_WIDTH - left - _RIGHT)

    def y(value: float) -> float:
        return height - bottom - (value - y_low) / (y_high - y_low) * (height - top - bottom)

    parts = [_axis(x_low, x_high, x, height - bottom + 8, x_unit)]
    for value in ticks(y_low, y_high):
        at, end = f"{y(value):.1f}", _WIDTH - _RIGHT
        parts.append(f'<line class="guide" x1="{left}" y1="{at}" x2="{end}" y2="{at}"/>')
        parts.append(_text("tick", left - 8, y(value) + 4, f"{value:g}{y_unit}", "end"))
    path = " ".join(f"{x(point.x):.1f},{y(point.y):.1f}" for point in points)
    parts.append(f'<polyline class="trace" points="{path}"/>')
    for before, point, after in zip((None, *points), points, (*points[1:], None), strict=False):
        at_x, at_y = x(point.x), y(point.y)
        parts.append(f'<circle class="dot" cx="{at_x:.1f}" cy="{at_y:.1f}" r="5.5"/>')
        # Names near the right edge go to the left of their points.
        leftwards = at_x > _WIDTH - 90
        anchor, shift = ("end", -10) if leftwards else ("start", 10)
        # Above, unless the trace goes up on that side and would cross the name.
        beside = [other for other in (before, after) if other and (other.x < point.x) == leftwards]
        drop = 19 if any(other.y > point.y for other in beside) else -8
        parts.append(_text("name", at_x + shift, at_y + drop, point.name, anchor))
    middle = (height - bottom + top) / 2
    parts.append(_text("title", _WIDTH - _RIGHT, height - 6, x_title, "end"))
    parts.append(f'<g transform="rotate(-90 14 {middle})">{_text("title", 14, middle, y_title)}</g>')
    return _svg(parts, height)


def _axis(low: float, high: float, x: Callable[[float], float], y: float, unit: str) -> str:
    return "".join(
        _text("tick", x(value), y + 14, f"{value:g}{unit}")
        + f'<line class="tickmark" x1="{x(value):.1f}" y1="{y - 4:.1f}" x2="{x(value):.1f}" y2="{y:.1f}"/>'
        for value in ticks(low, high)
    )


def _text(css: str, x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.12 * (high - low) or 1.0
    return low - margin, high + margin


def _svg(parts: Sequence[str], height: float) -> Markup:
    inner = "".join(parts)
    return Markup(f'<svg class="chart" viewBox="0 0 {_WIDTH} {height:g}" role="img">{inner}</svg>')
