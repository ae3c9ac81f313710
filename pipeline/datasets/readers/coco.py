"""COCO's formats: panoptic segments or polygons as labels and objects, boxes and captions."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

from pydantic import Field

from augment.errors import UserError
from augment.options import Options
from pipeline.datasets.annotations.classes_file import read_classes_file
from pipeline.datasets.annotations.coco_images import find_images, folder_of, without_suffix
from pipeline.datasets.annotations.coco_json import (
    ImageId,
    Listed,
    names_by_id,
    read_boxes,
    read_captions,
    referring,
    require_one_id,
)
from pipeline.datasets.annotations.coco_polygons import PolygonClasses, have_masks, masks_by_image, polygon_classes
from pipeline.datasets.annotations.panoptic import (
    Categories,
    Legend,
    Panoptic,
    decode_segments,
    in_order,
    taxonomy_of_categories,
)
from pipeline.datasets.annotations.polygons import rasterize
from pipeline.datasets.dataset import Annotations, Dataset
from pipeline.datasets.dataset_tables import Tables, read_tables
from pipeline.datasets.files.images import read_label_colors
from pipeline.datasets.files.json_files import read_typed
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.pairing.layout import require_layout, require_split
from pipeline.datasets.pairing.pairs import check_pairs
from pipeline.datasets.pairing.places import Place
from pipeline.datasets.pairing.unread_files import check_unread_labels
from pipeline.datasets.readers.cityscapes import CLASSES
from pipeline.datasets.readers.coco_stuff import FOLDERS
from pipeline.datasets.record import Facts, Record, records_of
from pipeline.taxonomies import Taxonomy

# Written by Roboflow, in the folder of a split's images.
BESIDE = "_annotations.coco.json"
PANOPTIC, INSTANCES, CAPTIONS, IMAGE_INFO = "panoptic", "instances", "captions", "image_info"
# The first of them that a split has lists its images.
FILES = (PANOPTIC, INSTANCES, CAPTIONS, IMAGE_INFO)

_FILE = re.compile(rf"(?:{'|'.join(FILES)})_(.+)")
_YEAR = re.compile(r"\d{4}$")
_SPLITS = {folder: split for split, folder in FOLDERS.items()}


class CocoOptions(Options):
    """Meaning of masks in a dataset of kind 'coco' with polygons and no panoptic file."""

    background: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="class of the pixels that no object covers, a category's name or a new one, such as 'background'; "
        "null leaves them without a class (255)",
    )


@dataclass(frozen=True)
class _Labels:
    """Labels on disk and all legends by name of the image; ``strays`` are segment maps without an image."""

    paths: Mapping[str, str]
    legends: Mapping[str, str]
    strays: frozenset[str]
    have_objects: bool


@dataclass(frozen=True)
class Coco(Dataset):
    """Reader of ``[images/]<split>/**`` with the files of COCO in ``annotations/``.

    ``panoptic_<split>.json`` and ``panoptic_<split>/*.png`` hold labels and objects, ``instances_<split>.json`` boxes
    and, where no split has a panoptic file, labels and objects as polygons or run lengths; ``captions_<split>.json``
    holds captions; ``image_info_<split>.json`` lists images without annotations. ``_annotations.coco.json`` beside
    the images, as Roboflow exports it, is read as the file of instances. ``metadata.jsonl`` in the root may hold
    attributes. File names of images may also be relative to ``images/`` or the root. ``train2017`` is the split
    ``train``, and likewise for others. Raises UserError if ``root`` is not such a folder.
    """

    tree: Tree
    options: CocoOptions = field(default_factory=CocoOptions)
    name: str = "coco"

    def __post_init__(self) -> None:
        files = f"annotations/{PANOPTIC}_<split>.json, {INSTANCES}_<split>.json or {CAPTIONS}_<split>.json"
        places = f"{FOLDERS['train']}/** or images/{FOLDERS['train']}/**, or those of another split"
        require_layout(self.tree, self.splits, "a COCO folder", f"{files}, and {places}; or <split>/{BESIDE}")

    @cached_property
    def taxonomy(self) -> Taxonomy | None:
        """The categories of the panoptic files by their ids, or else of the files with polygons; None without labels.

        ``classes.json``, which exports have in the root, adds what categories do not state. Raises UserError if it or
        the splits disagree.
        """
        if self._polygons is not None:
            paths = self._outlined
            taxonomy = taxonomy_of_categories(self._polygons.categories, self.tree.at(paths[0]))
        elif paths := self._panoptic:
            found = [in_order(read_typed(self.tree, path, Categories).categories) for path in paths]
            pairs = zip(paths, found, strict=True)
            if other := next((path for path, categories in pairs if categories != found[0]), None):
                raise UserError(
                    f"{self.tree.at(other)} has other categories than {self.tree.at(paths[0])}: expected the same ids, "
                    "names, colours and things in all splits"
                )
            taxonomy = taxonomy_of_categories(found[0], self.tree.at(paths[0]))
        else:
            return None
        if not self.tree.location.exists(CLASSES):
            return taxonomy
        stated = read_classes_file(self.tree, CLASSES, None).taxonomy
        if stated.classes != taxonomy.classes:
            raise UserError(
                f"{self.tree.at(CLASSES)} names other classes than {self.tree.at(paths[0])}: expected the names of its "
                "categories in the order of their ids"
            )
        return stated

    @property
    def leaves_background_unlabelled(self) -> bool:
        """Whether labels are polygons and the pixels outside them have no class."""
        return self._polygons is not None and self._polygons.background is None

    def splits(self) -> list[str]:
        """Names of the splits that are on disk, sorted."""
        return sorted(self._folders)

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key.

        Unlabelled are the images of a split without ``panoptic_<split>.json`` or polygons, those that the former lists
        without a segment map, and those that only have boxes. Boxes are those of objects without a mask if the split
        has labels, else of all but crowds. Raises UserError for a split that is absent or empty, a damaged file, and
        if images, files and segment maps do not name each other.
        """
        require_split(split, self.splits(), self._places(split))
        folder = self._folders[split]
        images, labels = self._pairs(split, folder)
        captions = read_captions(self.tree, _path(CAPTIONS, folder), without_suffix)
        with_masks = PANOPTIC not in self._files(folder) and self._instances(folder) not in self._outlined
        boxes = read_boxes(self.tree, self._instances(folder), without_suffix, with_masks=with_masks)

        def facts_of(name: str, path: str) -> Facts:
            attributes = self._tables.facts_of(name, path).attributes
            return Facts(attributes, tuple(captions.get(name, ())), tuple(boxes.get(name, ())))

        objects = labels.paths if labels.have_objects else None
        return records_of(split, images, labels.paths, facts_of, instances=objects, legends=labels.legends)

    def annotations(self, record: Record) -> Annotations:
        """Train ids [H, W], uint8 or uint16 as the categories need, and objects uint16 [H, W]; see `Dataset`."""
        if record.label is None:
            return Annotations()
        if record.label.endswith(".json"):
            where = f"{self.tree.at(record.label)}, {record.image}"
            return Annotations(*rasterize(record.legend, where, self.tree.decoding))
        colors = read_label_colors(self.tree, record.label)
        label, instances = decode_segments(colors, record.legend, self.tree.at(record.label))
        return Annotations(label, instances if record.instances else None)

    def tables(self) -> Collection[str]:
        """The tables with attributes and captions."""
        return self._tables.rows.keys()

    @cached_property
    def _tables(self) -> Tables:
        return read_tables(self.tree, [folder_of(self.tree, folder) for folder in self._folders.values()])

    @cached_property
    def _folders(self) -> dict[str, str]:
        """Split -> its name in files and folders."""
        present = {*self.tree.folders(), *self.tree.folders("images")}
        names = self.tree.location.names("annotations", ".json")
        described = {match[1] for name in names if (match := _FILE.fullmatch(name))}
        described |= {folder for folder in present if self.tree.location.exists(self._beside(folder))}
        # One archive has the files of all splits of COCO. Other sets may have one folder of images for all splits.
        folders = {folder for folder in described if folder in present or not _YEAR.search(folder)}
        return {_SPLITS.get(folder, folder): folder for folder in sorted(folders | present & _SPLITS.keys())}

    @cached_property
    def _panoptic(self) -> list[str]:
        """The panoptic files on disk."""
        return [path for folder in self._folders.values() if (path := self._files(folder).get(PANOPTIC))]

    @cached_property
    def _outlined(self) -> list[str]:
        """The files of instances that labels are made of: those with masks, if no file is panoptic."""
        if self._panoptic:
            return []
        paths = [path for folder in self._folders.values() if (path := self._files(folder).get(INSTANCES))]
        return [path for path in paths if have_masks(self.tree, path)]

    @cached_property
    def _polygons(self) -> PolygonClasses | None:
        """The classes of polygons, if labels are made of them."""
        paths = self._outlined
        return polygon_classes(self.tree, paths, self.options.background) if paths else None

    def _files(self, folder: str) -> dict[str, str]:
        paths = {kind: _path(kind, folder) for kind in FILES} | {INSTANCES: self._instances(folder)}
        return {kind: path for kind, path in paths.items() if self.tree.location.exists(path)}

    def _instances(self, folder: str) -> str:
        """Path of the file of a split's objects."""
        path, beside = _path(INSTANCES, folder), self._beside(folder)
        return beside if not self.tree.location.exists(path) and self.tree.location.exists(beside) else path

    def _beside(self, folder: str) -> str:
        return f"{folder_of(self.tree, folder)}/{BESIDE}"

    def _places(self, split: str) -> str:
        """Where the images of an absent split are expected, for messages."""
        names = dict.fromkeys((FOLDERS.get(split, split), split))
        return " or ".join(self.tree.at(f"{root}{name}") for name in names for root in ("", "images/"))

    def _pairs(self, split: str, folder: str) -> tuple[dict[str, str], _Labels]:
        """Images of a split by name, and their labels; the panoptic file is released before others are read."""
        listing = next(iter(self._files(folder).values()), None)
        panoptic = read_typed(self.tree, listing, Panoptic) if listing == _path(PANOPTIC, folder) else None
        labels = self._labels(folder, panoptic)
        images = self._images(split, folder, listing, panoptic)
        self._check_labels(split, folder, images, labels)
        return images, labels

    def _labels(self, folder: str, panoptic: Panoptic | None) -> _Labels:
        maps, taxonomy = _maps(folder), self.taxonomy
        outlines, on_disk = self._instances(folder), frozenset(self.tree.files(maps, ".png"))
        if self._polygons is not None and taxonomy is not None and outlines in self._outlined:
            legends = masks_by_image(self.tree, outlines, self._polygons, taxonomy)
            return _Labels(dict.fromkeys(legends, outlines), legends, on_disk, have_objects=True)
        if panoptic is None or taxonomy is None:
            return _Labels({}, {}, on_disk, have_objects=False)
        path, legend = _path(PANOPTIC, folder), Legend.of(in_order(panoptic.categories), taxonomy)
        names = names_by_id(panoptic.images, without_suffix, self.tree.at(path))
        ids: dict[str, ImageId] = {}
        with referring(self.tree, path):
            for found in panoptic.annotations:
                name = names[found.image_id]
                require_one_id(ids.setdefault(name, found.image_id), found.image_id, name, self.tree.at(path))
            paths = {names[found.image_id]: f"{maps}/{found.file_name}" for found in panoptic.annotations}
            legends = {names[found.image_id]: legend.describe(found.segments_info) for found in panoptic.annotations}
        segments = (segment for found in panoptic.annotations for segment in found.segments_info)
        there = {name: path for name, path in paths.items() if path in on_disk}
        return _Labels(there, legends, on_disk.difference(paths.values()), any(map(legend.is_object, segments)))

    def _images(self, split: str, folder: str, listing: str | None, panoptic: Panoptic | None) -> dict[str, str]:
        if listing is None:
            return find_images(self.tree, split, folder)
        content = panoptic or read_typed(self.tree, listing, Listed)
        listed = {without_suffix(image.file_name): image.file_name for image in content.images}
        return find_images(self.tree, split, folder, listed, listing)

    def _check_labels(self, split: str, folder: str, images: Mapping[str, str], labels: _Labels) -> None:
        """Check images against segment maps, without images that are listed without a map."""
        described = self.tree.at(_path(PANOPTIC, folder))
        # The name of a segment map without an image is its path, which no image has as its name.
        found = {name: path for name, path in labels.paths.items() if name in images}
        found |= {path: path for path in labels.strays}
        self._check_unread_maps(split, folder, images, found, labels)
        patterns = (
            f"{self.tree.at(folder_of(self.tree, folder))}/** with a segment map that {described} describes",
            f"{self.tree.at(_maps(folder))}/*.png that {described} describes",
        )
        may_lack_labels = (images.keys() - found.keys()).isdisjoint(labels.legends)
        check_pairs(split, images, found, patterns, may_lack_labels=may_lack_labels)

    def _check_unread_maps(
        self, split: str, folder: str, images: Mapping[str, str], found: Mapping[str, str], labels: _Labels
    ) -> None:
        maps = _maps(folder)
        place = Place(maps, (".png",), name_of=lambda path: without_suffix(path.removeprefix(f"{maps}/")))
        described = {name: path for name, path in images.items() if name in labels.legends}
        check_unread_labels(self.tree, split, described, found, place)


def _path(kind: str, folder: str) -> str:
    return f"annotations/{kind}_{folder}.json"


def _maps(folder: str) -> str:
    return f"annotations/{PANOPTIC}_{folder}"
