"""The page in a browser: it fits wide and narrow screens, shows every picture, and asks for nothing."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from downstream.report import build_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROBE = """
const found = {};
addEventListener("load", () => {
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, root = page.documentElement;
    const asked = frame.contentWindow.performance.getEntriesByType("resource").map(entry => entry.name);
    found[frame.width] = {
      scrolls: root.scrollWidth, broken: [...page.images].filter(image => !image.naturalWidth).length,
      images: page.images.length, asked: asked.filter(name => !name.startsWith("data:")),
      background: getComputedStyle(page.body).backgroundColor, ink: getComputedStyle(page.body).color,
    };
  }
  document.body.append(Object.assign(document.createElement("pre"), {textContent: "FOUND" + JSON.stringify(found)}));
});
"""


def look(page: str, folder: Path, *, dark: bool) -> dict[str, dict[str, object]]:
    """What a browser finds on a page at two widths."""
    assert BROWSER is not None
    # Pictures below the fold would load later, when one scrolls there.
    source = html.escape(page.replace('loading="lazy"', ""))
    frames = "".join(f'<iframe width="{width}" height="800" srcdoc="{source}"></iframe>' for width in (390, 1280))
    path = folder / f"frame-{dark}.html"
    path.write_text(f"<!doctype html><script>{PROBE}</script><body>{frames}", encoding="utf-8")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
        "--dump-dom",
    ]
    flags += ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run([BROWSER, *flags, path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"FOUND(\{.*\})</pre>", done.stdout)
    assert found is not None, done.stdout[-500:] + done.stderr[-500:]
    return dict(json.loads(html.unescape(found[1])))


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium")
def test_the_page_fits_and_needs_nothing_in_light_and_dark(workspace: Path, tmp_path: Path) -> None:
    page = build_report(workspace).read_text()
    colours: dict[bool, tuple[object, object]] = {}
    for dark in (False, True):
        for width, seen in look(page, tmp_path, dark=dark).items():
            assert seen["scrolls"] == int(width), f"{width} pixels: the page is {seen['scrolls']} wide"
            assert (seen["broken"], seen["asked"]) == (0, [])
            assert seen["images"] == page.count("<img")
            colours[dark] = (seen["background"], seen["ink"])
    assert len(colours) == 2
    assert not set(colours[False]) & set(colours[True])
