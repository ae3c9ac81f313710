"""ADE20K with all its classes and objects, in the layout of the release of January 2021."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import msgspec
import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.datasets.annotations.object_numbers import number_codes
from pipeline.datasets.dataset import Annotations, Dataset
from pipeline.datasets.files.images import map_ids, read_label_colors
from pipeline.datasets.files.json_files import unreadable
from pipeline.datasets.files.tree import Tree, without_mark
from pipeline.datasets.pairing.layout import require_layout, require_split
from pipeline.datasets.pairing.pairs import check_split
from pipeline.datasets.pairing.places import Place, by_name, stem
from pipeline.datasets.readers.ade20k import FOLDERS, scene_attribute
from pipeline.datasets.record import Facts, Record, records_of
from pipeline.taxonomies import Taxonomy, taxonomy_of_classes

ROOT = "images/ADE"
LABEL_ENDING = "_seg"
LABEL_SUFFIX = f"{LABEL_ENDING}.png"
# The categories of the release, numbered from 1 in its labels.
NUM_CLASSES = 3688
# JSON files in memory at a time, of some 50 KiB each.
_AT_A_TIME = 256

_IGNORE_INDEX = 65535
_TRAIN_IDS = (np.arange(NUM_CLASSES + 1) - 1).astype(np.uint16)
_TRAIN_IDS[0] = _IGNORE_INDEX
_IS_INDEX = np.ones(NUM_CLASSES + 1, np.bool_)


class _Object(msgspec.Struct):
    # Empty values are written as empty lists.
    name: str | list[str] = ""
    name_ndx: int | list[int] = 0


class _Annotation(msgspec.Struct):
    # A list of one item is written as the item.
    object: list[_Object] | _Object = msgspec.field(default_factory=list)


class _Described(msgspec.Struct):
    annotation: _Annotation


@dataclass(frozen=True)
class Ade20kFull(Dataset):
    """Reader of ``images/ADE/<training|validation>/<kind of scene>/<scene>/<name>.jpg`` with ``<name>_seg.png``.

    The class of a pixel is red // 10 * 256 + green of ``_seg.png``, 0 for none; its blue is the number of its object.
    ``<name>.json`` names the classes. Masks of single objects and parts and the index file, a pickle, are not read.
    Raises UserError if ``root`` is not such a folder.
    """

    tree: Tree
    name: str = "ade20k-full"

    def __post_init__(self) -> None:
        expected = f"{ROOT}/training/<kind of scene>/<scene>/*.jpg with *{LABEL_SUFFIX}"
        require_layout(self.tree, self.splits, "a full ADE20K folder", expected)

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The 3,688 classes with their names in the JSON files; ``class 17`` is one without a name.

        Reads every JSON file of both splits, once. A class has the name that most of its objects have. A name that
        several classes share is followed by the class's number in all but the first. Raises UserError naming a damaged
        file, and without any file.
        """
        paths = self.tree.files(ROOT, ".json")
        if not paths:
            raise UserError(
                f"nothing names the classes of {self.tree}: expected <name>.json beside each <name>.jpg in {ROOT}, "
                "found 0 of them"
            )
        names: defaultdict[int, Counter[str]] = defaultdict(Counter)
        for found in self._objects(paths):
            if isinstance(found.name_ndx, int) and isinstance(found.name, str) and found.name.strip():
                names[found.name_ndx][" ".join(found.name.split())] += 1
        classes: dict[str, None] = {}
        for index in range(1, NUM_CLASSES + 1):
            # The most frequent name first, and equally frequent ones in alphabetical order.
            ranked = sorted(names[index].items(), key=lambda item: (-item[1], item[0]))
            name = ranked[0][0] if ranked else f"class {index}"
            classes[name if name not in classes else f"{name} ({index})"] = None
        return taxonomy_of_classes(self.name, tuple(classes), tuple(classes))

    def splits(self) -> list[str]:
        """``train`` and ``val``, as far as they are on disk."""
        folders = self.tree.folders(ROOT)
        return sorted(split for split, folder in FOLDERS.items() if folder in folders)

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key, with the scene in the name of its folder.

        Raises UserError for a split that is absent, empty or labelled in part.
        """
        folder = f"{ROOT}/{FOLDERS.get(split, split)}"
        require_split(split, self.splits(), self.tree.at(folder))
        # Listed only once: the folders also hold a million masks of single objects.
        found = self.tree.files(folder, (".jpg", LABEL_SUFFIX))
        images = by_name((path for path in found if not stem(path).endswith(LABEL_ENDING)), stem)
        labels = by_name(
            (path for path in found if path.endswith(LABEL_SUFFIX)), lambda path: stem(path.removesuffix(LABEL_SUFFIX))
        )
        where = f"{self.tree.at(folder)}/<kind of scene>/<scene>"
        image = Place(folder, (".jpg",), expected=f"{where}/<name>.jpg")
        label = Place(folder, (".png",), LABEL_ENDING, _pictured, expected=f"{where}/<name>{LABEL_SUFFIX}")
        check_split(self.tree, split, images, labels, image, label)

        def scene_of(_name: str, path: str) -> Facts:
            return Facts(scene_attribute(PurePosixPath(path).parent.name))

        return records_of(split, images, labels, scene_of, instances=labels)

    def annotations(self, record: Record) -> Annotations:
        """Train ids uint16 [H, W] (0..3687, 65535) and objects numbered in the order of their blue; see `Dataset`."""
        if record.label is None:
            return Annotations()
        colors = read_label_colors(self.tree, record.label)
        indices = colors[..., 0].astype(np.uint16) // 10 * 256 + colors[..., 1]
        label = map_ids(indices, _TRAIN_IDS, _IS_INDEX, self.tree.at(record.label))
        return Annotations(label, _instances(indices, colors[..., 2]))

    def _objects(self, paths: list[str]) -> Iterator[_Object]:
        for start in range(0, len(paths), _AT_A_TIME):
            chunk = paths[start : start + _AT_A_TIME]
            for path, data in zip(chunk, self.tree.location.read_many(chunk), strict=True):
                try:
                    objects = msgspec.json.decode(_text(data), type=_Described).annotation.object
                except msgspec.DecodeError as error:
                    raise unreadable(f"{self.tree.at(path)} (repair or remove it)", error) from error
                yield from objects if isinstance(objects, list) else [objects]


def _pictured(path: str) -> str:
    """Name of the image of a label with any suffix."""
    return stem(path).removesuffix(LABEL_ENDING)


def _text(data: bytes) -> str:
    try:
        return without_mark(data).decode()
    except UnicodeDecodeError:
        # Some files of the release are in Latin-1.
        return data.decode("latin-1")


def _instances(indices: NDArray[np.uint16], blue: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Number the objects of an image from 1, [H, W]; 0 for pixels without a class or an object.

    Images with more than 255 objects reuse blue values, so that an object is a blue value of one class.
    """
    codes = blue.astype(np.uint32) * (NUM_CLASSES + 1) + indices
    codes[(blue == 0) | (indices == 0)] = 0
    return number_codes(codes)
