"""Long lists of classes as a table: a row for each, in the order of the train ids."""

from __future__ import annotations

from typing import Literal, get_args

from pipeline.taxonomies.taxonomy import Color, Taxonomy

Kind = Literal["thing", "stuff"]


def taxonomy_from_rows(name: str, rows: str) -> Taxonomy:
    """The 8-bit taxonomy of rows ``RED GREEN BLUE thing|stuff NAME``; a name may have spaces.

    Raises ValueError for a row in any other form.
    """
    classes: list[str] = []
    palette: list[Color] = []
    things: list[str] = []
    for row in rows.strip().splitlines():
        red, green, blue, kind, class_name = row.split(maxsplit=4)
        if kind not in get_args(Kind):
            raise ValueError(f"{name}: {row.strip()!r} says {kind!r}, expected thing or stuff")
        classes.append(class_name)
        palette.append((int(red), int(green), int(blue)))
        if kind == "thing":
            things.append(class_name)
    return Taxonomy(name, tuple(classes), tuple(palette), things=tuple(things))
