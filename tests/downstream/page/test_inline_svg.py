"""Charts of matplotlib follow the colours of the page."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from augment.layouts.curve_chart import curve_chart
from augment.layouts.curves import Curves, KPoint
from downstream.page.inline_svg import inline_svg


def test_a_chart_has_no_paper_and_no_black_ink(tmp_path: Path) -> None:
    points = tuple(KPoint(k, 0.1 * k, 0.2, {"night": 0.1}, {"gain": 0.1}, {"gain": 0.2}, 0.1) for k in (1, 2))
    document = curve_chart({"layouts": Curves(points, {}, ())})
    (tmp_path / "curves.svg").write_text(document)
    inlined = inline_svg(tmp_path / "curves.svg")
    root = ElementTree.fromstring(inlined)
    assert root.get("fill") == "currentColor"
    colours = colours_of(inlined)
    assert colours & {"#ffffff", "#000000", "white", "black"} == set() != {"#ffffff", "#000000"} & colours_of(document)
    # The curves keep their colours, and every text is there.
    assert "#1f6fb4" in colours
    texts = [
        len(list(ElementTree.fromstring(of).iter("{http://www.w3.org/2000/svg}text"))) for of in (document, inlined)
    ]
    assert texts[0] == texts[1] > 0


def test_without_a_chart_there_is_nothing(tmp_path: Path) -> None:
    assert inline_svg(tmp_path / "curves.svg") == ""


def colours_of(document: str) -> set[str]:
    return set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", document))
