"""Builders of small ADE20K, BDD100K and COCO-Stuff trees in the true on-disk format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.pipeline.datasets.trees import save

Array = NDArray[np.uint8]


def save_jpeg(path: Path, image: Array, mode: str = "RGB") -> Array:
    """Write a JPEG in a colour mode, and return what it shows as RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).convert(mode).save(path, quality=95)
    return np.array(Image.open(path).convert("RGB"))


def write_json(path: Path, content: object, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))


def write_ade20k_image(root: Path, split: str, name: str, image: Array, raw_ids: Array | None) -> Array:
    """One pair of ADEChallengeData2016, ``split`` being training or validation; returns the image as stored."""
    if raw_ids is not None:
        save(root / "annotations" / split / f"{name}.png", raw_ids)
    return save_jpeg(root / "images" / split / f"{name}.jpg", image)


def seg_png(indices: NDArray[np.integer], objects: NDArray[np.integer]) -> Array:
    """The colours that the release of 2021 gives to classes and objects."""
    return np.stack([indices // 256 * 10, indices % 256, objects], axis=-1).astype(np.uint8)


def ade20k_object(name: str, index: int, number: int = 0) -> dict[str, Any]:
    """An object as the JSON files have it, MATLAB's empty lists included."""
    return {
        "id": number,
        "name": name,
        "name_ndx": index,
        "hypernym": [],
        "raw_name": name,
        "attributes": [],
        "depth_ordering_rank": number + 1,
        "occluded": [],
        "crop": "0",
        "parts": {"hasparts": [], "ispartof": [], "part_level": 0},
        "polygon": {"x": [0, 1, 1], "y": [0, 0, 1], "click_date": []},
    }


def write_ade20k_full_image(
    root: Path,
    folder: str,
    name: str,
    image: Array,
    seg: Array | None,
    objects: Sequence[dict[str, Any]] | dict[str, Any] | None = (),
    encoding: str = "utf-8",
) -> Array:
    """One image of the release of 2021 with its files; ``folder`` is such as ``training/urban/street``."""
    place = root / "images" / "ADE" / folder
    if seg is not None:
        save(place / f"{name}_seg.png", seg)
        save(place / f"{name}_parts_1.png", np.zeros_like(seg))
        save(place / name / f"instance_000_{name}.png", np.zeros(seg.shape[:2], np.uint8))
    if objects is not None:
        content = {"filename": f"{name}.jpg", "scene": folder.split("/")[1:], "object": objects}
        write_json(place / f"{name}.json", {"annotation": content}, encoding)
    return save_jpeg(place / f"{name}.jpg", image)


def write_bdd100k_image(
    root: Path, subset: str, split: str, name: str, image: Array, train_ids: Array | None = None
) -> Array:
    """One image of the 10k or the 100k, with the files beside a mask in the archive of labels."""
    labels = root / "labels" / "sem_seg"
    if train_ids is not None:
        save(labels / "masks" / split / f"{name}.png", train_ids)
        save(labels / "colormaps" / split / f"{name}.png", np.zeros((*train_ids.shape, 3), np.uint8))
        write_json(labels / "polygons" / f"sem_seg_{split}.json", [])
    return save_jpeg(root / "images" / subset / split / f"{name}.jpg", image)


def bdd100k_frame(
    name: str, attributes: Mapping[str, str], boxes: Sequence[tuple[str, float, float, float, float]] = ()
) -> dict[str, Any]:
    """What the detection files say of an image: boxes of (category, x1, y1, x2, y2), and a lane, which has no box."""
    lane = {"id": "0", "category": "lane", "poly2d": [{"vertices": [[0, 0], [1, 1]], "types": "LL", "closed": False}]}
    objects = [
        {
            "id": str(number),
            "category": category,
            "attributes": {"occluded": False},
            "box2d": {"x1": x1, "y1": y1, "x2": x2, "y2": y2},
        }
        for number, (category, x1, y1, x2, y2) in enumerate(boxes, start=1)
    ]
    return {"name": f"{name}.jpg", "attributes": dict(attributes), "timestamp": 10000, "labels": [lane, *objects]}


def write_coco_annotations(
    root: Path,
    split: str,
    sizes: Mapping[int, tuple[int, int]],
    captions: Sequence[tuple[int, str]],
    objects: Sequence[tuple[int, int, tuple[float, float, float, float], int]],
) -> None:
    """Captions of (image, text), and objects of (image, category, (left, top, width, height), is crowd)."""
    images = [
        {"id": number, "file_name": f"{number:012d}.jpg", "height": height, "width": width, "license": 1}
        for number, (height, width) in sizes.items()
    ]
    texts = [{"image_id": image, "id": 10 + i, "caption": text} for i, (image, text) in enumerate(captions)]
    things = [
        {
            "id": 100 + i,
            "image_id": image,
            "category_id": category,
            "bbox": list(box),
            "iscrowd": crowd,
            "area": box[2] * box[3],
            "segmentation": [[box[0], box[1], box[0] + box[2], box[1], box[0], box[1] + box[3]]],
        }
        for i, (image, category, box, crowd) in enumerate(objects)
    ]
    categories = [
        {"supercategory": "person", "id": 1, "name": "person"},
        {"supercategory": "vehicle", "id": 3, "name": "car"},
    ]
    info = {"year": 2017, "description": "COCO 2017 Dataset"}
    folder = root / "annotations"
    write_json(folder / f"captions_{split}.json", {"info": info, "images": images, "annotations": texts})
    write_json(
        folder / f"instances_{split}.json",
        {"info": info, "images": images, "annotations": things, "categories": categories},
    )
