"""The images of a split of COCO, and where they are."""

from __future__ import annotations

from collections.abc import Mapping

from augment.errors import UserError
from pipeline.datasets.files.decoding import IMAGE_SUFFIXES
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.pairing.pairs import note_unpaired
from pipeline.datasets.pairing.places import Place, by_name
from pipeline.datasets.pairing.unread_files import check_unread


def without_suffix(path: str) -> str:
    """The path with its folders, without the suffix of the file."""
    start, dot, suffix = path.rpartition(".")
    return start if dot and "/" not in suffix else path


def folder_of(tree: Tree, folder: str) -> str:
    """The folder of a split's images: in the root, or else in ``images``."""
    return f"images/{folder}" if folder not in tree.folders() and folder in tree.folders("images") else folder


def find_images(
    tree: Tree, split: str, folder: str, listed: Mapping[str, str] | None = None, listing: str = ""
) -> dict[str, str]:
    """The images of a split by name: all in its folder if no file lists them.

    ``listed`` are the file names in the file ``listing``, by name, relative to the split's folder, to ``images`` or to
    the root. Raises UserError unless these are the images of the split's folder; inside ``collecting_unpaired`` returns
    those that are both listed and on disk.
    """
    base = folder_of(tree, folder)
    images = _named(tree.files(base, IMAGE_SUFFIXES), base)
    check_unread(tree, split, images, {}, Place(base, IMAGE_SUFFIXES, name_of=lambda path: _name(path, base)))
    if listed is None:
        return images
    if images.keys().isdisjoint(listed):
        for shared in ("images", ""):
            paths = [path for path in tree.files(shared, IMAGE_SUFFIXES) if _name(path, shared) in listed]
            if paths:
                base, images = shared, _named(paths, shared)
                break
    _check_listed(tree, split, base, images, listed, tree.at(listing))
    return {name: path for name, path in images.items() if name in listed}


def _check_listed(
    tree: Tree, split: str, base: str, images: Mapping[str, str], listed: Mapping[str, str], where: str
) -> None:
    folder = tree.at(base)
    patterns = (f"{folder}/** as {where} lists them", where)
    if note_unpaired(split, images, listed, patterns, may_lack_labels=False):
        return
    counts = f"found {len(images)} images, and {len(listed)} are listed"
    if absent := sorted(listed.keys() - images.keys()):
        raise UserError(
            f"split {split!r}: {len(absent)} images that {where} lists are missing: expected {folder}/**, "
            f"{counts}, the first missing one is {listed[absent[0]]}"
        )
    if unlisted := sorted(images.keys() - listed.keys()):
        raise UserError(
            f"split {split!r}: {len(unlisted)} images are not in the list of {where}: {counts}, the first that is not "
            f"listed is {images[unlisted[0]]}"
        )


def _name(path: str, base: str) -> str:
    return without_suffix(path.removeprefix(f"{base}/") if base else path)


def _named(paths: list[str], base: str) -> dict[str, str]:
    return by_name(paths, lambda path: _name(path, base))
