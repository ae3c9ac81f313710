"""How files of a plain folder are named: templates of their folders, endings and suffixes."""

from __future__ import annotations

import posixpath
import unicodedata
from pathlib import PurePosixPath

from pipeline.datasets.files.decoding import IMAGE_SUFFIXES
from pipeline.datasets.readers.folder_lists import SPLIT


def name_in(path: str, folder: str, ending: str) -> str:
    """The path of a file in a folder, without its suffix and the ``ending`` before that."""
    # Some systems write an accent as a letter of its own, so that one name may have two spellings.
    name = str(PurePosixPath(path).relative_to(folder).with_suffix(""))
    return unicodedata.normalize("NFC", name.removesuffix(ending))


def filled(template: str, split: str) -> str:
    """The path of a template with a split's name in its place; empty for the root."""
    path = posixpath.normpath(template.replace(SPLIT, split))
    return "" if path == "." else path


def stem_ending(ending: str) -> str:
    """What of an ending belongs to the name of a file without its suffix."""
    start, dot, end = ending.rpartition(".")
    return start if dot and f".{end}".lower() in IMAGE_SUFFIXES else ending


def without_ending(path: str, ending: str) -> str | None:
    """A path without the suffix of its file and the ``ending`` before it, which may include the suffix; or None."""
    start, _, suffix = path.rpartition(".")
    before, dot, end = ending.rpartition(".")
    if dot and f".{end}".lower() in IMAGE_SUFFIXES:
        # Cameras write .JPG where people write .jpg.
        if suffix.lower() != end.lower():
            return None
        ending = before
    name = start.rpartition("/")[2]
    return start.removesuffix(ending) if name.endswith(ending) and len(name) > len(ending) else None


def pattern_of(ending: str, *suffixes: str) -> str:
    """What the names of files end in: an ending that includes the suffix, or the ending before each suffix."""
    return ending if ending.lower().endswith(IMAGE_SUFFIXES) else "".join(f"{ending}{end}" for end in suffixes)
