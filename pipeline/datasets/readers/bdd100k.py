"""BDD100K: the 10,000 images with class labels, and 100,000 with attributes and boxes, in their archives' layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.datasets.annotations.mask_classes import MaskClasses
from pipeline.datasets.annotations.object_numbers import number_codes
from pipeline.datasets.dataset import Annotations, Dataset
from pipeline.datasets.files.images import map_ids, read_label_bytes, read_label_ids, read_mask
from pipeline.datasets.files.json_files import read_typed
from pipeline.datasets.files.masks import PALETTE_MODES
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.pairing.layout import require_root, require_split
from pipeline.datasets.pairing.pairs import check_pairs, check_split
from pipeline.datasets.pairing.places import Place, stem
from pipeline.datasets.pairing.unread_files import check_unread
from pipeline.datasets.record import Box, Facts, Label, Record, records_of
from pipeline.taxonomies import BDD100K, Taxonomy

Subset: TypeAlias = Literal["10k", "100k"]

SPLITS = ("train", "val", "test")
MASKS = "labels/sem_seg/masks"
# The same for viewing: palette files with train ids as indices, or the colours of Cityscapes.
COLOR_MAPS = "labels/sem_seg/colormaps"
LABEL_ARCHIVE = "bdd100k_sem_seg_labels_trainval.zip"
OBJECT_MASKS = "labels/ins_seg/bitmasks"
# Boxes and attributes of a split, in the release of 2020 and the one before.
DETECTION_FILES = ("labels/det_20/det_{split}.json", "labels/bdd100k_labels_images_{split}.json")

# Words of the dataset -> words of prompts.
TIMES_OF_DAY = {"daytime": "day", "dawn/dusk": "dusk", "night": "night"}
WEATHERS = {
    "clear": "clear",
    "partly cloudy": "cloudy",
    "overcast": "cloudy",
    "foggy": "fog",
    "rainy": "rain",
    "snowy": "snow",
}
SCENES = {"gas stations": "gas station"}
UNKNOWN = "undefined"
# Categories -> the names of these classes in Cityscapes.
CATEGORIES = {"pedestrian": "person", "bike": "bicycle", "motor": "motorcycle"}

# Bits of an object mask's second channel; the others are `truncated` and `occluded`.
_IGNORED, _CROWD = 1, 2
_IDENTITY = np.arange(256, dtype=np.uint8)
_IS_TRAIN_ID = BDD100K.is_id[:256]
_COLOR_MAP_CLASSES = MaskClasses(
    BDD100K, tuple(range(len(BDD100K))), BDD100K.ignore_index, BDD100K.palette, ignored_colors=((0, 0, 0),)
)


class _Attributes(msgspec.Struct, gc=False):
    weather: str = UNKNOWN
    scene: str = UNKNOWN
    timeofday: str = UNKNOWN


class _Corners(msgspec.Struct, gc=False):
    x1: float
    y1: float
    x2: float
    y2: float


class _Object(msgspec.Struct, gc=False):
    category: str
    # Lanes and drivable areas have none.
    box2d: _Corners | None = None


class _Described(msgspec.Struct):
    name: str
    attributes: _Attributes | None = None


class _Boxed(_Described):
    labels: list[_Object] | None = None


Found = TypeVar("Found", bound=_Described)


@dataclass(frozen=True)
class Bdd100k(Dataset):
    """Reader of ``images/<subset>/<split>/<name>.jpg``; only the 10k have class labels.

    ``10k``: train ids of Cityscapes in ``labels/sem_seg/masks/<split>/<name>.png``, or else the colour maps in
    ``labels/sem_seg/colormaps``, and optional objects in ``labels/ins_seg/bitmasks/<split>/<name>.png``. ``100k``:
    unlabelled; optional boxes and attributes from ``labels/det_20/det_<split>.json`` or the older
    ``labels/bdd100k_labels_images_<split>.json``. Images of the 10k that these files name have the attributes, but no
    boxes. Raises UserError if ``root`` is not such a folder.
    """

    tree: Tree
    subset: Subset

    def __post_init__(self) -> None:
        require_root(self.tree, f"images/{self.subset}/")
        if not self.splits():
            raise UserError(
                f"{self.tree} is not a BDD100K folder: expected images/{self.subset}/train/*.jpg, found "
                f"{self.tree.found_in('images' if 'images' in self.tree.folders() else '')}"
            )

    @property
    def name(self) -> str:
        """``bdd100k``, or ``bdd100k-100k``."""
        return "bdd100k" if self.subset == "10k" else "bdd100k-100k"

    @property
    def taxonomy(self) -> Taxonomy | None:
        """The classes of Cityscapes; None for the unlabelled 100k."""
        return BDD100K if self.subset == "10k" else None

    def splits(self) -> list[str]:
        """``test``, ``train`` and ``val``, as far as they are on disk."""
        folders = self.tree.folders(f"images/{self.subset}")
        return sorted(split for split in SPLITS if split in folders)

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key; without those of the 100k's ``train`` that the 10k hold out.

        Raises UserError for a split that is absent or empty, for a partly labelled one of the 10k other than ``test``,
        and for a damaged file of attributes.
        """
        folder = f"images/{self.subset}/{split}"
        require_split(split, self.splits(), self.tree.at(folder))
        return self._labelled(split) if self.subset == "10k" else self._unlabelled(split)

    def annotations(self, record: Record) -> Annotations:
        """Train ids uint8 [H, W] (0..18, 255) and numbered objects uint16 [H, W], in the 10k; see `Dataset`."""
        label = instances = None
        if record.label is not None:
            label = self._label(record.label)
        if record.instances is not None:
            instances = number_objects(read_label_bytes(self.tree, record.instances))
        return Annotations(label, instances)

    def _label(self, path: str) -> Label:
        if path.startswith(COLOR_MAPS):
            mask = read_mask(self.tree, path)
            # Equal channels are colours here, never ids.
            if mask.palette is not None and mask.mode not in PALETTE_MODES:
                mask = replace(mask, values=mask.palette[mask.values])
            return _COLOR_MAP_CLASSES.train_ids(mask, self.tree.at(path))
        return map_ids(read_label_ids(self.tree, path), _IDENTITY, _IS_TRAIN_ID, self.tree.at(path))

    def _labelled(self, split: str) -> list[Record]:
        # Some users keep only the colour maps.
        root = next((place for place in (MASKS, COLOR_MAPS) if self.tree.files(f"{place}/{split}", ".png")), MASKS)
        image, label = _images("10k", split), Place(f"{root}/{split}", (".png",))
        images, labels = image.find(self.tree), label.find(self.tree)
        if not labels:
            label = replace(label, expected=f"{label.describe(self.tree)}, which {LABEL_ARCHIVE} holds")
        check_split(self.tree, split, images, labels, image, label)
        objects = Place(f"{OBJECT_MASKS}/{split}", (".png",)).find(self.tree)
        # The subsets share images but not splits. Boxes are left out: the image may be another frame of the video than
        # that of the 100k.
        known = {name: found for other in SPLITS for name, found in self._described(other, list[_Described]).items()}
        return records_of(split, images, labels, lambda name, _: Facts(_attributes(known.get(name))), instances=objects)

    def _unlabelled(self, split: str) -> list[Record]:
        image = _images("100k", split)
        images = image.find(self.tree)
        check_unread(self.tree, split, images, {}, image)
        check_pairs(split, images, {}, (image.describe(self.tree), ""), may_lack_labels=True)
        others = ("val", "test") if split == "train" else ()
        held_out = {name for other in others for name in _images("10k", other).find(self.tree)}
        known = self._described(split, list[_Boxed])
        return records_of(
            split,
            {name: path for name, path in images.items() if name not in held_out},
            {},
            lambda name, _: Facts(_attributes(known.get(name)), boxes=_boxes(known.get(name))),
        )

    def _described(self, split: str, kind: type[list[Found]]) -> dict[str, Found]:
        """The entry of each image in a split's detection file, by name; empty without such a file."""
        for path in (path.format(split=split) for path in DETECTION_FILES):
            if self.tree.location.exists(path):
                return {stem(found.name): found for found in read_typed(self.tree, path, kind)}
        return {}


def _images(subset: Subset, split: str) -> Place:
    return Place(f"images/{subset}/{split}", (".jpg",))


def number_objects(masks: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Number the objects of an instance mask [H, W, 4] from 1, in ascending order of their ids.

    The first of four bytes is the category, 0 for none, the second holds flags, and the others are the object's id.
    Crowds and ignored objects are not numbered.
    """
    category, bits, high, low = np.moveaxis(masks, -1, 0)
    codes = high.astype(np.uint32) * 256 + low + 1
    return number_codes(np.where((category > 0) & (bits & (_IGNORED | _CROWD) == 0), codes, 0))


def _attributes(found: _Described | None) -> dict[str, str]:
    stated = found.attributes if found and found.attributes else _Attributes()
    words = {
        "weather": WEATHERS.get(stated.weather, stated.weather),
        "scene": SCENES.get(stated.scene, stated.scene),
        "time_of_day": TIMES_OF_DAY.get(stated.timeofday, stated.timeofday),
    }
    return {name: word for name, word in words.items() if word != UNKNOWN}


def _boxes(found: _Boxed | None) -> tuple[Box, ...]:
    return tuple(
        Box(CATEGORIES.get(thing.category, thing.category), box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1)
        for thing in (found.labels or [] if found else [])
        if (box := thing.box2d) is not None
    )
