"""Options of a plain folder: where its files are."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from augment.options import Options


def _template(path: str) -> str:
    rest = path.replace("{split}", "", 1)
    if not path or path.startswith("/") or ".." in path.split("/") or "{" in rest or "}" in rest:
        raise ValueError(f"{path!r}: give a folder below the dataset's root, with at most one {{split}} in it")
    return path


FolderTemplate = Annotated[str, AfterValidator(_template)]


class FolderOptions(Options):
    """Where the files of a dataset of kind 'folder' are, below its root; {split} takes the name of a split."""

    images: FolderTemplate = Field(
        default="images/{split}", description="images; without {split} here and in lists, all of them are of 'train'"
    )
    masks: FolderTemplate = Field(
        default="masks/{split}", description="class values as lossless images, named as the images"
    )
    instances: FolderTemplate = Field(
        default="instances/{split}", description="object numbers, 16-bit PNG, named as the masks; optional"
    )
    image_suffix: str = Field(
        default="",
        description="end of the file names of images after the common name, e.g. '_leftImg8bit', '_img.png' or '.jpg'",
    )
    mask_suffix: str = Field(
        default="",
        description="end of the file names of masks and instances after the common name, e.g. '_mask' or '_mask.png'",
    )
    lists: FolderTemplate | None = Field(
        default=None,
        description="text file with the names of each split, one a line, e.g. 'ImageSets/Segmentation/{split}.txt'; "
        "null takes every image",
    )
    classes: str | None = Field(
        default=None,
        description="file that says what the values in masks mean; null is classes.txt, classes.csv or classes.json in "
        "the root, or _classes.csv in the root or beside the images of each split",
    )
    ignore_index: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="value of pixels without a class; null is 255, or 65535 for more than 255 classes",
    )
    partly_labelled: bool = Field(default=False, description="whether images of a split may lack masks")
