"""Charts of matplotlib as a part of the page, in its colours."""

from __future__ import annotations

import re
from pathlib import Path

from markupsafe import Markup

# What matplotlib paints the figure, the panels and the legends with, and its colour of text and axes. Text has none of
# its own.
_PAPER, _INK = "fill: #ffffff", "#000000"


def inline_svg(path: Path) -> Markup:
    """The element of an SVG document, without its background and with ink in the colour of the text around it.

    So it is readable on a light and on a dark page. Nothing of a missing document.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    element = re.sub(r"<metadata>.*?</metadata>", "", text[text.find("<svg") :], flags=re.DOTALL)
    themed = element.replace(_PAPER, "fill: none").replace(_INK, "currentColor")
    return Markup(themed.replace("<svg", '<svg fill="currentColor"', 1)) if text else Markup()
