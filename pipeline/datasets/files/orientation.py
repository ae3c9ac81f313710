"""Images that EXIF turns without swapping height and width, so that labels may be turned or not."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from pipeline.datasets.files.decoding import ORIENTATION, opened
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.record import Record, RecordError
from pipeline.datasets.thinning import spread

# Number of images of a split that are opened.
_MOST = 32
# Mirrored, upside down, and both.
_SAME_SIDES = (2, 3, 4)


def turned_images(tree: Tree, split: str, records: Sequence[Record]) -> str | None:
    """One line about labelled images of a split that EXIF mirrors or turns upside down; None for none."""
    labelled = [record for record in records if record.label is not None]
    looked_at = [labelled[index] for index in spread(len(labelled), _MOST)]
    found = [record.image for record in looked_at if _is_turned(tree, record.image)]
    if not found:
        return None
    return (
        f"EXIF mirrors or turns {len(found)} of {len(looked_at)} labelled images of {split!r}, such as "
        f"{found[0]}: images are read upright and labels as stored, so labels must show the upright image"
    )


def _is_turned(tree: Tree, path: str) -> bool:
    try:
        with opened(tree.read(path, "image"), tree.at(path), "image", tree.decoding) as file:
            return _orientation(file) in _SAME_SIDES
    # The stage shard quarantines what cannot be read, with the reason.
    except RecordError:
        return False


def _orientation(file: Image.Image) -> int:
    return int(file.getexif().get(ORIENTATION, 1))
