"""Builders of small trees in COCO's panoptic format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.pipeline.datasets.trees import random_image, save
from tests.pipeline.datasets.trees_sets import save_jpeg, write_json

# As its owners number the 80 things and 53 kinds of stuff of 2017.
THING_IDS = [n for n in range(1, 91) if n not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
STUFF_IDS = [
    *(92, 93, 95, 100, 107, 109, 112, 118, 119, 122, 125, 128, 130, 133, 138, 141, 144, 145, 147, 148, 149, 151, 154),
    *(155, 156, 159, 161, 166, 168, 171, 175, 176, 177, 178, 180, 181, *range(184, 201)),
]
CATEGORIES: list[dict[str, Any]] = [
    {
        "supercategory": "any",
        "isthing": int(number in THING_IDS),
        "id": number,
        "name": f"category {number}",
        "color": [number, 255 - number, 7],
    }
    for number in (*THING_IDS, *STUFF_IDS)
]


def segment(number: int, category: int, crowd: int = 0) -> dict[str, Any]:
    """What the JSON says of a segment; its area and box are looked at by nobody here."""
    return {"id": number, "category_id": category, "iscrowd": crowd, "bbox": [0, 0, 1, 1], "area": 1}


def segment_map(ids: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The colours of segment ids: id = R + 256 G + 65536 B."""
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)


@dataclass
class PanopticSplit:
    """A split that grows image by image; ``write`` adds its JSON, in which every image is listed."""

    root: Path
    folder: str
    categories: Sequence[dict[str, Any]] = tuple(CATEGORIES)
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        name: str,
        ids: NDArray[np.integer] | None,
        segments: Sequence[dict[str, Any]] = (),
        shape: tuple[int, int] = (4, 6),
        place: str | None = None,
    ) -> NDArray[np.uint8]:
        """One image with its segment map, or without; returns the image as it is stored."""
        height, width = shape if ids is None else ids.shape
        number = len(self.images) + 9
        self.images.append({"id": number, "file_name": f"{name}.jpg", "height": height, "width": width})
        if ids is not None:
            save(self.root / f"annotations/panoptic_{self.folder}/{name}.png", segment_map(ids))
            self.annotations.append({"image_id": number, "file_name": f"{name}.png", "segments_info": list(segments)})
        image = random_image(np.random.default_rng(number), height, width)
        return save_jpeg(self.root / (self.folder if place is None else place) / f"{name}.jpg", image)

    def write(self) -> None:
        """``annotations/panoptic_<folder>.json``."""
        content = {"info": {"year": 2018}, "licenses": [], "images": self.images, "annotations": self.annotations}
        path = self.root / f"annotations/panoptic_{self.folder}.json"
        write_json(path, {**content, "categories": list(self.categories)})
