"""The formats of COCO: panoptic segmentation, detection and captions."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask

from pipeline.datasets.table import BOXES, CAPTIONS
from pipeline.export.class_file import write_classes
from pipeline.export.destination import Destination
from pipeline.export.exported_store import ExportedStore, Item
from pipeline.export.format import Written
from pipeline.export.segments import ImageSegment, find_segments, to_colors
from pipeline.store import Sample
from pipeline.store.codec import encode_image

# Keys of a sample's notes, each a list of annotations.
SEGMENTS, OBJECTS, SENTENCES = "segments_info", "objects", "captions"


@dataclass
class _Split:
    """The entries of a split for the JSON files."""

    images: list[dict[str, Any]] = field(default_factory=list)
    panoptic: list[dict[str, Any]] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)
    captions: list[dict[str, Any]] = field(default_factory=list)


class CocoFormat:
    """``<split>/<name>``, the store's bytes, and ``annotations/`` with the JSON files of each split.

    ``panoptic_<split>.json`` with ``panoptic_<split>/<name>.png`` holds the labels; ``instances_<split>.json`` the
    objects, as run-length masks if a sample has an instance map, and all boxes; ``captions_<split>.json`` the
    captions. A file without entries is not written; a split without any has ``image_info_<split>.json``. A category's
    id is the train id plus 1; categories that only boxes have follow after the classes, which are in ``classes.json``
    too. Pixels of a class of things outside all of its objects are one segment with ``iscrowd``; ``instance_number``
    is the number of any other object in the store. Objects on ignored pixels or on stuff are not written.
    """

    def __init__(self, store: ExportedStore, destination: Destination) -> None:
        self._store, self._destination = store, destination
        taxonomy = store.taxonomy
        self._classes = taxonomy.classes if taxonomy else ()
        # A set that has objects but names no classes of things may have objects of every class.
        every = self._classes if store.has_instances else ()
        self._things = frozenset((taxonomy.things or every) if taxonomy else ())
        self._splits: dict[str, _Split] = {}

    def named(self, items: Sequence[Item]) -> list[Item]:
        """The items unchanged."""
        return list(items)

    def check(self, items: Sequence[Item]) -> None:
        """Any image may lack a label."""

    def write(self, item: Item) -> Written:
        """Write image and segment map."""
        sample, members = self._store.read(item.key)
        data = members[self._store.image_format]
        path = f"{item.split}/{item.name}.{self._store.image_format}"
        self._destination.write(path, data)
        with Image.open(io.BytesIO(data)) as image:
            notes: dict[str, Any] = {"width": image.width, "height": image.height}
        objects = [_of_box(box) for box in _entries(sample, BOXES)]
        if sample.label is not None and self._store.taxonomy is not None:
            ids, segments = find_segments(sample.label, sample.instances, self._store.taxonomy, self._things)
            self._destination.write(_segment_map(item), encode_image(to_colors(ids), "png"))
            notes[SEGMENTS] = [self._of_segment(segment) for segment in segments]
            if sample.instances is not None:
                # Column by column, as masks are encoded.
                columns = np.asfortranarray(ids)
                objects += [self._of_object(segment, columns) for segment in segments if segment.instance]
        notes[OBJECTS] = objects
        notes[SENTENCES] = list(_entries(sample, CAPTIONS))
        return Written(path, sample.metadata, notes)

    def collect(self, item: Item, written: Written) -> None:
        """Add a sample to the files of its split; its number is the id of the image."""
        split, notes = self._splits.setdefault(item.split, _Split()), written.notes
        file_name = written.file_name.removeprefix(f"{item.split}/")
        size = {"width": notes["width"], "height": notes["height"]}
        split.images.append({"id": item.number, "file_name": file_name, **size})
        if SEGMENTS in notes:
            segment_map = _segment_map(item).rpartition("/")[2]
            split.panoptic.append({"image_id": item.number, "file_name": segment_map, SEGMENTS: notes[SEGMENTS]})
        for entry in notes[OBJECTS]:
            split.objects.append({"id": len(split.objects) + 1, "image_id": item.number, **entry})
        for caption in notes[SENTENCES]:
            split.captions.append({"id": len(split.captions) + 1, "image_id": item.number, "caption": caption})

    def finish(self) -> None:
        """Write the JSON files."""
        boxed = {entry["category"] for split in self._splits.values() for entry in split.objects}
        names = [*self._classes, *sorted(boxed - set(self._classes))]
        ids = {name: number for number, name in enumerate(names, start=1)}
        categories = [self._category(number, name) for name, number in ids.items()]
        for name, split in self._splits.items():
            objects = [{**entry, "category_id": ids[entry.pop("category")]} for entry in split.objects]
            files: dict[str, dict[str, Any]] = {
                "panoptic": {"annotations": split.panoptic, "categories": categories[: len(self._classes)]},
                "instances": {"annotations": objects, "categories": categories},
                "captions": {"annotations": split.captions},
            }
            written = {kind: content for kind, content in files.items() if content["annotations"]}
            for kind, content in (written or {"image_info": {}}).items():
                self._write_json(f"{kind}_{name}", {"images": split.images, **content})
        if any(split.panoptic for split in self._splits.values()):
            write_classes(self._store, self._destination)

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        whole = {"info": {}, "licenses": [], **content}
        self._destination.write(f"annotations/{name}.json", json.dumps(whole, ensure_ascii=False).encode())

    def _category(self, number: int, name: str) -> dict[str, Any]:
        taxonomy = self._store.taxonomy
        is_class = taxonomy is not None and number <= len(taxonomy)
        is_thing = not is_class or name in self._things
        entry = {
            "id": number,
            "name": name,
            "supercategory": "thing" if is_thing else "stuff",
            "isthing": int(is_thing),
        }
        return {**entry, "color": taxonomy.palette[number - 1]} if taxonomy is not None and is_class else entry

    def _of_segment(self, segment: ImageSegment) -> dict[str, Any]:
        crowd = not segment.instance and self._classes[segment.train_id] in self._things
        number = {"instance_number": segment.instance} if segment.instance else {}
        return {
            "id": segment.id,
            "category_id": segment.train_id + 1,
            "area": segment.area,
            "bbox": segment.box,
            "iscrowd": int(crowd),
            **number,
        }

    def _of_object(self, segment: ImageSegment, ids: NDArray[np.int32]) -> dict[str, Any]:
        encoded = mask.encode((ids == segment.id).view(np.uint8))
        return {
            "category": self._classes[segment.train_id],
            "segmentation": {"size": list(ids.shape), "counts": encoded["counts"].decode("ascii")},
            "area": segment.area,
            "bbox": segment.box,
            "iscrowd": 0,
        }


def _of_box(box: dict[str, Any]) -> dict[str, Any]:
    sides = [box["left"], box["top"], box["width"], box["height"]]
    area = box["width"] * box["height"]
    return {"category": box["category"], "segmentation": [], "area": area, "bbox": sides, "iscrowd": 0}


def _entries(sample: Sample, name: str) -> list[Any]:
    found = sample.metadata.get(name, [])
    return list(found) if isinstance(found, list) else []


def _segment_map(item: Item) -> str:
    return f"annotations/panoptic_{item.split}/{item.name}.png"
