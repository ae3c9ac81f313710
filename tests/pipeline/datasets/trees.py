"""Builders of small datasets in the true on-disk format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]


def save(path: Path, array: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def random_image(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_cityscapes_image(
    root: Path,
    split: str,
    identity: str,
    image: NDArray[np.uint8],
    label_ids: NDArray[np.uint8] | None = None,
    train_ids: NDArray[np.uint8] | None = None,
    attributes: Mapping[str, str] | None = None,
    instance_ids: NDArray[np.uint16] | None = None,
    annotation: str = "gtFine",
) -> None:
    """One image ``<city>_<sequence>_<frame>`` with the files that the official archives put beside it.

    Without ``instance_ids`` it has no single objects.
    """
    city = identity.split("_")[0]
    save(root / "leftImg8bit" / split / city / f"{identity}_leftImg8bit.png", image)
    start = root / annotation / split / city / f"{identity}_{annotation}"
    if label_ids is not None:
        save(Path(f"{start}_labelIds.png"), label_ids)
        save(Path(f"{start}_color.png"), np.zeros((*label_ids.shape, 4), np.uint8))
        save(Path(f"{start}_instanceIds.png"), label_ids.astype(np.uint16) if instance_ids is None else instance_ids)
        Path(f"{start}_polygons.json").write_text('{"objects": []}')
    if train_ids is not None:
        save(Path(f"{start}_labelTrainIds.png"), train_ids)
    if attributes is not None:
        path = root / "attributes" / split / city / f"{identity}_attributes.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(attributes))


def write_camvid_image(
    root: Path,
    split: str,
    name: str,
    image: NDArray[np.uint8],
    label: NDArray[np.uint8] | None = None,
    suffix: str = ".png",
) -> None:
    """One image of the SegNet layout: ``<split>/<name>`` and ``<split>annot/<name>``."""
    save(root / split / f"{name}{suffix}", image)
    if label is not None:
        save(root / f"{split}annot" / f"{name}.png", label)


def write_camvid32_image(
    root: Path,
    name: str,
    image: NDArray[np.uint8],
    colors: NDArray[np.uint8] | None = None,
    split: str | None = None,
) -> None:
    """One frame with its RGB label, as the owner distributes it or, with a split, as copies have it."""
    images, labels = ("701_StillsRaw_full", "LabeledApproved_full") if split is None else (split, f"{split}_labels")
    save(root / images / f"{name}.png", image)
    if colors is not None:
        save(root / labels / f"{name}_L.png", colors)


def write_folder_image(
    root: Path,
    split: str,
    name: str,
    image: NDArray[np.uint8],
    mask: NDArray[np.generic] | None = None,
    instances: NDArray[np.uint16] | None = None,
) -> None:
    """One image of a plain folder, ``name`` with its suffix and perhaps folders of its own."""
    save(root / "images" / split / name, image)
    for folder, array in (("masks", mask), ("instances", instances)):
        if array is not None:
            save((root / folder / split / name).with_suffix(".png"), array)
