"""The JSON files of COCO that list images, captions and objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from augment.errors import UserError
from pipeline.datasets.files.json_files import read_typed
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.record import Box

# COCO numbers its images; some sets in its formats use names.
ImageId: TypeAlias = int | str
_SIDES = 4
# JSON texts of no mask, and the longest one with spaces.
_NO_MASK = frozenset({b"", b"null", b"[]", b"[[]]", b"{}", b'""'})
_MOST_EMPTY = 16


class Image(msgspec.Struct, gc=False):
    """An image by its id in this file; its name may include folders."""

    id: ImageId
    file_name: str


class Listed(msgspec.Struct):
    """The list of images that every file has."""

    images: list[Image]


class _Caption(msgspec.Struct, gc=False):
    image_id: ImageId
    caption: str


class _Captions(Listed):
    annotations: list[_Caption]


class Category(msgspec.Struct, gc=False):
    """A category; ids may have gaps."""

    id: int
    name: str


class _Object(msgspec.Struct, gc=False):
    image_id: ImageId
    category_id: int
    # Some tools omit it, or leave it empty, beside a mask.
    bbox: list[float] = []
    iscrowd: int | bool = 0

    @property
    def is_box(self) -> bool:
        return len(self.bbox) == _SIDES and not self.iscrowd


# Separate, as finding out whether an object has a mask takes as long as all the rest.
class _MaskedObject(_Object, gc=False):
    segmentation: msgspec.Raw = msgspec.Raw(b"")

    @property
    def is_box(self) -> bool:
        return super().is_box and not has_mask(self.segmentation)


Found = TypeVar("Found", bound=_Object)


class _Instances(Listed, Generic[Found]):
    annotations: list[Found]
    categories: list[Category]


def names_by_id(images: Sequence[Image], name_of: Callable[[str], str], where: str) -> dict[ImageId, str]:
    """The name of each image, which ``name_of`` gives for its file name, by the image's id.

    Raises UserError naming the file, ``where``, if two images have one id.
    """
    names: dict[ImageId, str] = {}
    for image in images:
        name = name_of(image.file_name)
        if (other := names.setdefault(image.id, name)) != name:
            raise UserError(f"unexpected JSON: {where}: the images {other} and {name} have the same id {image.id!r}")
    return names


def require_one_id(first: ImageId, image_id: ImageId, name: str, where: str) -> None:
    """Raise UserError if the file ``where`` lists an image under two ids."""
    if image_id != first:
        raise UserError(
            f"unexpected JSON: {where}: the image {name} has the ids {first!r} and {image_id!r}: expected one, with "
            "all of its annotations"
        )


def read_captions(tree: Tree, path: str, name_of: Callable[[str], str]) -> dict[str, list[str]]:
    """The captions of each image by its name, without blank ones, in the order of the file; empty without a file.

    Raises UserError naming a file that is damaged or refers to an unknown image.
    """
    captions: defaultdict[str, list[str]] = defaultdict(list)
    if tree.location.exists(path):
        content = read_typed(tree, path, _Captions)
        names = names_by_id(content.images, name_of, tree.at(path))
        with referring(tree, path):
            for found in content.annotations:
                # Some end in a line break, or are only that.
                if words := " ".join(found.caption.split()):
                    captions[names[found.image_id]].append(words)
    return captions


def read_boxes(
    tree: Tree, path: str, name_of: Callable[[str], str], *, with_masks: bool = True
) -> dict[str, list[Box]]:
    """The boxes of each image by its name, in the order of the file; empty without a file.

    Crowds are left out, and unless ``with_masks`` so are objects that have a mask. Raises UserError naming a file that
    is damaged or refers to an unknown image or category.
    """
    boxes: defaultdict[str, list[Box]] = defaultdict(list)
    if tree.location.exists(path):
        kind: type[_Instances[Any]] = _Instances[_Object] if with_masks else _Instances[_MaskedObject]
        content = read_typed(tree, path, kind)
        names = names_by_id(content.images, name_of, tree.at(path))
        categories = {category.id: category.name for category in content.categories}
        with referring(tree, path):
            for found in content.annotations:
                if found.is_box:
                    boxes[names[found.image_id]].append(Box(categories[found.category_id], *found.bbox))
    return boxes


def has_mask(segmentation: msgspec.Raw) -> bool:
    """Whether the JSON text of a segmentation has polygons or run lengths."""
    text = memoryview(segmentation)
    # Only a short text can be an empty mask.
    return len(text) > _MOST_EMPTY or bytes(text).translate(None, b" \n\r\t") not in _NO_MASK


@contextmanager
def referring(tree: Tree, path: str) -> Iterator[None]:
    """Turn the KeyError of an unknown id that a file refers to into a UserError that names the file."""
    try:
        yield
    except KeyError as error:
        raise UserError(f"unexpected JSON: {tree.at(path)}: an annotation refers to the unknown id {error}") from error
