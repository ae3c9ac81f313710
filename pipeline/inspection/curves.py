"""Tables of what layouts keep, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from augment.text_table import aligned

if TYPE_CHECKING:
    from augment.layouts.curves import Curves

_SHOWN_COMPONENTS = 10
_HEAD = ("k", "variance %", "mIoU %", "changed %", "night %", "leak R2", "leak/cell R2", "position %")
NOTES = (
    "variance: of the features that the first k components explain; mIoU: of a linear probe for the classes, on "
    "held-out images; changed, night: the same under nine known changes (mean), and darkened as by night; leak: R2 "
    "with which gain, gamma, colour cast and blur of a changed image are read off its mean layout, or off one cell; "
    "position: share of the variance that the position in the image explains"
)


def curve_lines(curves: Mapping[str, Curves]) -> Iterator[str]:
    """Lines with the tables of each basis, and the ks that the first one recommends."""
    from augment.layouts.curves import TITLES, recommended_ks

    for name, found in curves.items():
        yield f"{TITLES[name]}:"
        yield from aligned([_HEAD, *_rows(found)])
        yield from _component_lines(found)
        yield ""
    yield NOTES
    used = next(iter(curves.values()))
    if used.points[0].miou is None:
        yield "no ks are recommended, because no measured image has labels"
    else:
        ks = recommended_ks(used.points)
        text = ", ".join(map(str, ks))
        yield (
            f"recommended: generate.ks=[{text}], the smallest that reach 80, 95 and 99 % of the best mIoU of the first "
            "basis, each named once; or generate.ks=auto"
        )
        if ks[-1] == used.ks[-1]:
            yield f"the mIoU still grows at k={ks[-1]}, the last: a larger layout.k_max may hold more of the classes"


def _rows(curves: Curves) -> Iterator[tuple[str, ...]]:
    from augment.layouts.curves import mean_of

    for point in curves.points:
        yield (
            str(point.k),
            _percent(point.explained),
            _percent(point.miou),
            _percent(mean_of(point.changed_miou.values())),
            _percent(point.changed_miou.get("night")),
            _share(mean_of(point.leak.values())),
            _share(mean_of(point.cell_leak.values())),
            _percent(point.position),
        )


def _component_lines(curves: Curves) -> Iterator[str]:
    """A table with a row for each of the first components: its share of position, and its shift by each change."""
    count = min(_SHOWN_COMPONENTS, len(curves.positions))
    yield f"shift of the first {count} components by each change, in standard deviations:"
    rows = [
        (
            str(index + 1),
            _percent(curves.positions[index]),
            *(f"{shift[index]:.2f}" for shift in curves.shifts.values()),
        )
        for index in range(count)
    ]
    yield from aligned([("component", "position %", *curves.shifts), *rows])


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"
