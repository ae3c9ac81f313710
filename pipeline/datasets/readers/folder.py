"""A plain folder of images, with or without masks."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.datasets.annotations.classes_file import read_classes_file
from pipeline.datasets.annotations.mask_classes import MaskClasses
from pipeline.datasets.dataset import Annotations, Dataset
from pipeline.datasets.dataset_tables import Tables, read_tables
from pipeline.datasets.files.decoding import IMAGE_SUFFIXES
from pipeline.datasets.files.images import read_label_ids, read_mask
from pipeline.datasets.files.tree import NO_FOLDER, Tree
from pipeline.datasets.pairing.layout import require_root, require_split
from pipeline.datasets.pairing.pairs import check_split
from pipeline.datasets.pairing.places import Place, by_name, holds
from pipeline.datasets.pairing.unread_files import common_ending
from pipeline.datasets.readers.folder_lists import (
    CLASSES_BESIDE_IMAGES,
    CLASSES_FILES,
    SPLIT,
    find_classes_file,
    listed_splits,
    read_list,
)
from pipeline.datasets.readers.folder_names import (
    filled,
    name_in,
    pattern_of,
    stem_ending,
    without_ending,
)
from pipeline.datasets.readers.folder_options import FolderOptions
from pipeline.datasets.record import TRAIN_SPLIT, Label, Record, records_of
from pipeline.taxonomies import Taxonomy

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
# Placeholder for any split: no folder has this name.
_ANY_SPLIT = "\0"
# In a set with masks these splits must have masks; any other split may be unlabelled.
LABELLED_SPLITS = ("train", "val")


@dataclass(frozen=True)
class Folder(Dataset):
    """Reader of ``images/<split>/**`` and optional ``masks/<split>/**.png`` of the same names.

    A mask holds the value of each pixel's class, in 8 or 16 bits or as a palette file. Beside masks there may be
    ``instances``, 16-bit files with a number for each object and 0 elsewhere. In a set with masks, splits other than
    ``train`` and ``val`` may have no folder of masks. Tables may describe images; see `read_tables`. Raises UserError
    if ``root`` is not such a folder, or if it has masks without a file of classes or the reverse.
    """

    tree: Tree
    options: FolderOptions = field(default_factory=FolderOptions)
    name: str = "folder"

    def __post_init__(self) -> None:
        pattern = f"{self.options.images.replace(SPLIT, '<split>') or '.'}/**"
        require_root(self.tree, pattern)
        if not self.splits():
            raise UserError(
                f"{self.tree} is not a plain folder of images: expected {pattern}, found {self.tree.found_in()}; "
                f"if images are elsewhere, set dataset.folder.images, such as '{SPLIT}' or '.'"
            )
        masked = [split for split in self.splits() if self._has_masks(split)]
        if self.classes is None and masked:
            raise UserError(
                f"{self.tree} has masks but no file of their classes: expected {', '.join(CLASSES_FILES[:-1])} "
                f"or {CLASSES_FILES[-1]} in it, found {self.tree.found_in()}"
            )
        parent = self.options.masks.partition(SPLIT)[0].rpartition("/")[0]
        if not masked and (self.classes is not None or (parent and self._exists(parent))):
            raise UserError(
                f"{self.tree} has {f'the folder {parent}' if self.classes is None else 'a file of classes'} but no "
                f"masks: expected {self.tree.at(self.options.masks.replace(SPLIT, '<split>'))}/**.png for the splits "
                f"{', '.join(self.splits())}, found {self.tree.found_in(parent if self._exists(parent) else '')}"
            )

    @property
    def taxonomy(self) -> Taxonomy | None:
        """The classes of the file; None without masks."""
        return None if self.classes is None else self.classes.taxonomy

    @cached_property
    def classes(self) -> MaskClasses | None:
        """The meaning of the values in masks."""
        path = self._classes_file
        return None if path is None else read_classes_file(self.tree, path, self.options.ignore_index)

    @cached_property
    def _classes_file(self) -> str | None:
        return find_classes_file(self.tree, self.options.classes, self.options.images, self.splits())

    def splits(self) -> list[str]:
        """Names of ``{split}`` in the folders and lists on disk, sorted; ``train`` without ``{split}``.

        With lists, every split has one.
        """
        before, place, after = self.options.images.partition(SPLIT)
        listed = None if self.options.lists is None else listed_splits(self.tree, self.options.lists)
        if not place:
            if not self._exists(self.options.images):
                return []
            return [TRAIN_SPLIT] if listed is None else listed
        parent, _, start = before.rpartition("/")
        end, _, rest = after.partition("/")
        names = [
            folder[len(start) : len(folder) - len(end)]
            for folder in self.tree.folders(parent)
            if folder.startswith(start) and folder.endswith(end) and len(folder) > len(start) + len(end)
        ]
        # Masks may be in the image folder of their own split, or below it, but not of another split.
        apart = {
            other: {folder for folder in self._annotations(other) if folder != self._images(other)}
            for other in (*names, _ANY_SPLIT)
        }
        return [
            name
            for name in names
            if (not rest or self._exists(self._images(name)))
            and not any(holds(self._images(name), folder) for other in apart.keys() - {name} for folder in apart[other])
            and (listed is None or name in listed)
        ]

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key.

        Raises UserError for a split that is absent or empty, or labelled in part where that is not expected.
        """
        image_folder, (mask_folder, instance_folder) = self._images(split), self._annotations(split)
        require_split(split, self.splits(), self.tree.at(image_folder))
        labels = self._files(mask_folder, MASK_SUFFIXES, self.options.mask_suffix)
        instances = self._files(instance_folder, MASK_SUFFIXES, self.options.mask_suffix)
        annotations = {*labels.values(), *instances.values()}
        # A mask in a format that is not read, such as JPEG, is not an image either.
        annotated_as = self.options.mask_suffix if image_folder in (mask_folder, instance_folder) else ""
        images = self._files(image_folder, IMAGE_SUFFIXES, self.options.image_suffix, annotations, annotated_as)
        within = [at for at in (mask_folder, instance_folder) if at != image_folder and holds(image_folder, at)]
        images = {name: path for name, path in images.items() if not any(holds(folder, path) for folder in within)}
        if self.options.lists is not None:
            path = filled(self.options.lists, split)
            chosen = read_list(self.tree, path, images, labels)
            images = {name: found for name, found in images.items() if name in chosen}
            labels = {name: found for name, found in labels.items() if name in chosen}
        ending = _ending(images, labels)
        check_split(
            self.tree,
            split,
            images,
            labels,
            self._place(image_folder, IMAGE_SUFFIXES, self.options.image_suffix, ".png or *", ".jpg"),
            self._place(mask_folder, MASK_SUFFIXES, self.options.mask_suffix, ".png"),
            unlabelled_splits=() if self._must_have_masks(split) else (split,),
            partly_labelled=self.options.partly_labelled,
            remedy=f"; masks there end in {ending}: set dataset.folder.mask_suffix={ending}"
            if ending
            else "; where they have none, set dataset.folder.partly_labelled=true",
        )
        self._tables.require_use(self.tree, image_folder, images.values())
        return records_of(split, images, labels, self._tables.facts_of, instances=instances)

    def annotations(self, record: Record) -> Annotations:
        """Train ids [H, W], uint8 or uint16 as the classes need, and objects uint16 [H, W]; see `Dataset`."""
        label = instances = None
        if record.label is not None:
            assert self.classes is not None
            label = self.classes.train_ids(read_mask(self.tree, record.label), self.tree.at(record.label))
        if record.instances is not None:
            instances = self._objects(read_label_ids(self.tree, record.instances).astype(np.uint16), label)
        return Annotations(label, instances)

    def _objects(self, numbers: NDArray[np.uint16], label: Label | None) -> NDArray[np.uint16]:
        """Numbers of objects without the value of ignored pixels, which VOC has in both files."""
        if label is None or self.classes is None or label.shape != numbers.shape:
            return numbers
        ignore_index = self.classes.taxonomy.ignore_index
        value = ignore_index if self.classes.ignored is None else self.classes.ignored
        has_value = numbers == value
        return np.where(has_value, 0, numbers) if (label[has_value] == ignore_index).all() else numbers

    def tables(self) -> Collection[str]:
        """The tables with attributes and captions, and the files of classes."""
        path = self._classes_file
        alike = [
            filled(self.options.classes or f"{self.options.images}/{CLASSES_BESIDE_IMAGES}", split)
            for split in self.splits()
        ]
        return {*self._tables.rows, *([path, *alike] if path else [])}

    @cached_property
    def _tables(self) -> Tables:
        folders = [self._images(split) for split in self.splits()]
        tables = read_tables(self.tree, folders)
        for table, named in tables.rows.items():
            if not any(holds(folder, path) for path in named for folder in folders):
                raise UserError(
                    f"{self.tree.at(table)} names none of the images: expected paths such as "
                    f"{posixpath.join(folders[0], 'a.png')}, found {next(iter(named))}"
                )
        return tables

    def _images(self, split: str) -> str:
        return filled(self.options.images, split)

    def _annotations(self, split: str) -> tuple[str, str]:
        return filled(self.options.masks, split), filled(self.options.instances, split)

    def _exists(self, folder: str) -> bool:
        return self.tree.found_in(folder) != NO_FOLDER

    def _has_masks(self, split: str) -> bool:
        return self._exists(filled(self.options.masks, split))

    def _must_have_masks(self, split: str) -> bool:
        return self._has_masks(split) or (self.classes is not None and split in LABELLED_SPLITS)

    def _files(
        self,
        folder: str,
        suffixes: tuple[str, ...],
        ending: str,
        apart: Collection[str] = (),
        ending_apart: str = "",
    ) -> dict[str, str]:
        """Files below a folder, by their path in it without suffix and ``ending``.

        Leaves out files that are ``apart``, and those that end in ``ending_apart`` unless that is empty.
        """
        chosen = {
            path: name
            for path in self._below(folder, suffixes)
            if path not in apart and (name := without_ending(path, ending)) is not None
            if not (ending_apart and without_ending(path, ending_apart) is not None)
        }
        # Some systems store accents as separate characters, so that one name has two spellings.
        return by_name(
            chosen,
            lambda path: unicodedata.normalize("NFC", str(PurePosixPath(chosen[path]).relative_to(folder))),
        )

    def _place(self, folder: str, suffixes: tuple[str, ...], ending: str, *expected: str) -> Place:
        """The place of files with an ending, which may include the suffix; ``expected`` are suffixes for messages."""
        pattern = f"{self.tree.at(folder)}/**/*{pattern_of(ending, *expected)}"
        ending = stem_ending(ending)
        return Place(folder, suffixes, ending, partial(name_in, folder=folder, ending=ending), pattern)

    def _below(self, folder: str, suffixes: tuple[str, ...]) -> list[str]:
        return self.tree.files(folder, suffixes) if self._exists(folder) else []


def _ending(images: Mapping[str, str], labels: Mapping[str, str]) -> str | None:
    """The ``mask_suffix`` that would find the labels; None if they have no common ending."""
    ending = common_ending(images.keys(), labels.keys())
    if ending is None or not ending.lower().endswith(IMAGE_SUFFIXES):
        return ending
    # An ending such as .jpg would be read as the suffix of the file.
    return ending + PurePosixPath(labels[min(labels.keys() - images.keys())]).suffix
