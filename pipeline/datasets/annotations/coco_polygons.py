"""The masks of objects in COCO's ``instances`` files, for splits without a panoptic file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from augment.errors import UserError
from pipeline.datasets.annotations.coco_images import without_suffix
from pipeline.datasets.annotations.coco_json import Category, ImageId, has_mask, referring, require_one_id
from pipeline.datasets.annotations.panoptic import PanopticCategory, in_order
from pipeline.datasets.annotations.polygons import ImageMasks, ObjectMask
from pipeline.datasets.files.json_files import parsed, read_typed
from pipeline.datasets.files.tree import Tree
from pipeline.taxonomies import Taxonomy

_NOTHING = msgspec.Raw(b"null")


class _Category(Category, gc=False):
    supercategory: str | None = None


class _Image(msgspec.Struct, gc=False):
    id: ImageId
    file_name: str
    height: int = 0
    width: int = 0


class _Outline(msgspec.Struct, gc=False):
    image_id: ImageId
    category_id: int
    iscrowd: int | bool = 0
    bbox: list[float] = []
    segmentation: msgspec.Raw = msgspec.Raw(b"")


class _Categories(msgspec.Struct):
    categories: list[_Category]


class _Masks(msgspec.Struct):
    annotations: list[_Outline]


class _Outlines(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Outline]


class _Used(msgspec.Struct):
    category_id: int


class _Uses(msgspec.Struct):
    annotations: list[_Used]


@dataclass(frozen=True)
class PolygonClasses:
    """The classes of polygons: all categories in the order of their ids, and perhaps a background.

    ``background`` is the id of the category of pixels that no object covers; None if they have no class.
    """

    categories: tuple[PanopticCategory, ...]
    background: int | None


def have_masks(tree: Tree, path: str) -> bool:
    """Whether any object of a file has a mask."""
    with parsed(tree, path, _Masks) as content:
        return any(has_mask(found.segmentation) for found in content.annotations)


def polygon_classes(tree: Tree, paths: Sequence[str], background: str | None) -> PolygonClasses:
    """The classes that these files name, which must be the same in all.

    A category that groups others and has no object is no class: files of Roboflow begin with one. ``background`` is
    the category of this name, or a new first one. Raises UserError if the files disagree.
    """
    contents = [read_typed(tree, path, _Categories).categories for path in paths]
    found = [sorted((category.id, category.name) for category in content) for content in contents]
    if other := next((path for path, categories in zip(paths, found, strict=True) if categories != found[0]), None):
        raise UserError(
            f"{tree.at(other)} has other categories than {tree.at(paths[0])}: expected the same ids and names in all "
            "splits"
        )
    parents = {(category.supercategory, category.id) for content in contents for category in content}
    # A category may have the name of its own group, such as COCO's person.
    groups = {number for number, name in found[0] if any(parent == name and own != number for parent, own in parents)}
    unused = groups - _used(tree, paths) if groups else set()
    named = [(number, name) for number, name in found[0] if number not in unused]
    categories = [PanopticCategory(number, name, isthing=1) for number, name in named]
    if background is None:
        return PolygonClasses(tuple(categories), None)
    own = next((category for category in categories if category.name.casefold() == background.casefold()), None)
    if own is None:
        own = PanopticCategory(min((number for number, _ in found[0]), default=1) - 1, background)
        categories.append(own)
    own.isthing = 0
    return PolygonClasses(tuple(in_order(categories)), own.id)


def masks_by_image(tree: Tree, path: str, classes: PolygonClasses, taxonomy: Taxonomy) -> dict[str, str]:
    """The masks of each image in a file, by its name, as JSON text of `ImageMasks`.

    Images that only have boxes are left out: they have no mask. Raises UserError naming the file if an object refers to
    an unknown image or category, or an image is listed under two ids or has no size.
    """
    train_ids = {category.id: train_id for train_id, category in enumerate(classes.categories)}
    things = {category.id for category in classes.categories if category.isthing}
    uncovered = taxonomy.ignore_index if classes.background is None else train_ids[classes.background]
    with parsed(tree, path, _Outlines) as content:
        objects: dict[ImageId, list[ObjectMask]] = {image.id: [] for image in content.images}
        bare: set[ImageId] = set()
        masked: set[ImageId] = set()
        with referring(tree, path):
            for found in content.annotations:
                is_masked = has_mask(found.segmentation)
                (masked if is_masked else bare).add(found.image_id)
                objects[found.image_id].append(
                    ObjectMask(
                        train_ids[found.category_id],
                        found.category_id in things and not found.iscrowd,
                        found.segmentation if is_masked else _NOTHING,
                        found.bbox,
                    )
                )
        described: dict[str, str] = {}
        ids: dict[str, ImageId] = {}
        for image in content.images:
            name = without_suffix(image.file_name)
            # The objects of the first of two entries would be lost.
            require_one_id(ids.setdefault(name, image.id), image.id, image.file_name, tree.at(path))
            if image.id in bare - masked:
                continue
            if image.height < 1 or image.width < 1:
                raise UserError(f"unexpected JSON: {tree.at(path)}: {image.file_name} has no height and width")
            masks = ImageMasks(image.height, image.width, uncovered, taxonomy.ignore_index, objects[image.id])
            described[name] = msgspec.json.encode(masks).decode()
        return described


def _used(tree: Tree, paths: Sequence[str]) -> set[int]:
    used: set[int] = set()
    for path in paths:
        with parsed(tree, path, _Uses) as content:
            used.update(found.category_id for found in content.annotations)
    return used
