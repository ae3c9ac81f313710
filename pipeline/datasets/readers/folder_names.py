"""Names of files in a plain folder: templates of folders, endings and suffixes."""

from __future__ import annotations

import posixpath
import unicodedata
from pathlib import PurePosixPath

from pipeline.datasets.files.decoding import IMAGE_SUFFIXES
from pipeline.datasets.readers.folder_lists import SPLIT


def name_in(path: str, folder: str, ending: str) -> str:
    """The path of a file in a folder, without its suffix and the ``ending`` before that."""
    # Some systems store accents as separate characters, so that one name has two spellings.
    name = str(PurePosixPath(path).relative_to(folder).with_suffix(""))
    return unicodedata.normalize("NFC", name.removesuffix(ending))


def filled(template: str, split: str) -> str:
    """The path of a template for a split; empty for the root."""
    path = posixpath.normpath(template.replace(SPLIT, split))
    return "" if path == "." else path


def stem_ending(ending: str) -> str:
    """The part of an ending before the suffix of the file."""
    start, dot, end = ending.rpartition(".")
    return start if dot and f".{end}".lower() in IMAGE_SUFFIXES else ending


def without_ending(path: str, ending: str) -> str | None:
    """A path without its suffix and the ``ending`` before it, which may include the suffix; None if it lacks these."""
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
    """Pattern of file names: an ending that includes the suffix, or the ending before each suffix."""
    return ending if ending.lower().endswith(IMAGE_SUFFIXES) else "".join(f"{ending}{end}" for end in suffixes)
