"""Text files with a class a line: a name, and numbers beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from augment.errors import UserError

NAME, ID, COLOR = "name", "id", ("r", "g", "b")
# A class of CVAT's label map: name, colour, and two fields that do not matter for masks.
_LABEL_MAP_LINE = re.compile(r"([^:]+):(\d+),\s*(\d+),\s*(\d+):[^:]*:[^:]*")
# What separates a number from a name.
_MARK = r"(?:\s*[,;:=|\t)]\s*|\.?\s+(?:-\s+)?)"
_LINE = re.compile(rf"((?:-?\d+{_MARK})*)(.*?)((?:{_MARK}-?\d+)*)")
_NUMBER = re.compile(r"-?\d+")
# Marks that do not occur beside a number in a name.
_STRONG = re.compile(r"[,;:=|\t)]")
# Longest line with numbers: no name is longer, and the pattern is slow on white space.
_LONGEST = 500
# Meaning of the numbers before and after a name, by their count.
_MEANINGS = {(1, 0): (ID,), (0, 1): (ID,), (3, 0): COLOR, (0, 3): COLOR, (1, 3): (ID, *COLOR)}
_REMEDY = "write classes.csv with the header id,name, or a name a line for the values from 0"

Numbers = dict[str, str]


def class_lines(lines: Sequence[str]) -> list[tuple[str, Numbers]]:
    """The name in each line, with the fields "id" and "r", "g", "b" from numbers before or after it.

    Forms are ``2: road``, ``2 road``, ``road,2``, the colours of ``64 128 64 road``, and CVAT's label map
    (``road:128,64,128::``). Numbers that belong to names, as in ``lane 1`` and ``lane 2``, stay. Raises UserError for
    lines with numbers that may be ids and are in no such form.
    """
    mapped = [line for line in lines if line.strip() and not line.startswith("#")]
    labels = [_LABEL_MAP_LINE.fullmatch(line.strip()) for line in mapped]
    if mapped and all(labels):
        return [(match[1], dict(zip(COLOR, match.groups()[1:], strict=True))) for match in labels if match]
    if commented := next((line for line in lines if line.lstrip().startswith("#")), None):
        raise UserError(f"its line {commented.strip()!r} is a comment among classes: delete it")
    # A blank line in between is a class without a name, which is refused.
    split = [_split(line.strip()) for line in lines]
    shapes = {(len(before), len(behind)) for before, _, behind, _ in split}
    plain = [(line, Numbers()) for line in lines]
    with_numbers = [index for index, (before, _, behind, _) in enumerate(split) if before or behind]
    marked = any(split[index][3] for index in with_numbers)
    is_header = len(shapes) == 2 and with_numbers == list(range(1, len(lines))) and len(lines) > 2
    if not with_numbers or (not marked and (is_header is False) and _belong_to_names(split, shapes, with_numbers)):
        return plain
    [shape] = shapes if len(shapes) == 1 else [None]
    meaning = _MEANINGS.get(shape) if shape else None
    if meaning is None or (shape == (0, 1) and not marked):
        raise UserError(f"its line {lines[with_numbers[0]].strip()!r} holds numbers beside a name: {_REMEDY}")
    return [(name, dict(zip(meaning, (*before, *behind), strict=True))) for before, name, behind, _ in split]


def _split(line: str) -> tuple[list[str], str, list[str], bool]:
    """Numbers before a name, the name, numbers after it, and whether a mark other than a space separates them."""
    match = _LINE.fullmatch(line) if len(line) <= _LONGEST else None
    before, name, behind = match.groups() if match else ("", line, "")
    if not name:
        return [], line, [], False
    return _NUMBER.findall(before), name, _NUMBER.findall(behind), _STRONG.search(before + behind) is not None


def _belong_to_names(
    split: Sequence[tuple[list[str], str, list[str], bool]], shapes: set[tuple[int, int]], with_numbers: Sequence[int]
) -> bool:
    """Whether numbers separated by spaces are parts of names: few lines have any, or names differ only in them."""
    if len(shapes) > 1 and 2 * len(with_numbers) <= len(split):
        return True
    if any(count > 1 for shape in shapes for count in shape):
        return False
    names = [split[index][1] for index in with_numbers]
    return len(set(names)) < len(names)
