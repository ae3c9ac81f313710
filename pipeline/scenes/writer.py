"""Writes rendered scenes to disk exactly as Cityscapes lies there."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.scenes.scene import Scene, render_scene
from pipeline.scenes.world.labels import PALETTE

CITIES = ("ashford", "brenlund", "corvale", "dunmark", "elsbeck", "fairhaven", "grimstad", "holmwick")
"""Invented towns among which the scenes are spread."""

REQUEST = "scenes.json"
"""What the scenes of a folder were asked for with, written before the first of them."""

_SEQUENCE = 20


@dataclass(frozen=True)
class _Task:
    root: Path
    split: str
    name: str
    seed: int
    height: int
    width: int


def scene_seed(seed: int, split: str, index: int) -> int:
    """The seed of scene `index` of a split, in 0..2**63-1: it depends on nothing else."""
    words = np.random.SeedSequence([seed, *split.encode(), index]).generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _png(array: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    done, data = cv2.imencode(".png", array)
    if not done:
        raise OSError(f"cannot encode a {array.dtype} array of shape {array.shape} as PNG")
    return bytes(data)


def write_scene(root: Path, split: str, name: str, scene: Scene) -> None:
    """Write one scene under `root`: image, labelIds, instanceIds, colours and attributes.

    `name` is {city}_{sequence:06d}_{frame:06d}. Each file appears whole or not at all, the image last.
    """
    city = name.split("_")[0]
    rgba = np.dstack([PALETTE[scene.label_ids], np.full_like(scene.label_ids, 255)])
    truth = root / "gtFine" / split / city
    attributes = {"medium": "rendered", **scene.attributes}
    text = json.dumps(attributes, sort_keys=True) + "\n"
    _write_whole(root / "attributes" / split / city / f"{name}_attributes.json", text.encode())
    _write_whole(truth / f"{name}_gtFine_labelIds.png", _png(scene.label_ids))
    _write_whole(truth / f"{name}_gtFine_instanceIds.png", _png(scene.instance_ids))
    _write_whole(truth / f"{name}_gtFine_color.png", _png(np.ascontiguousarray(rgba[..., [2, 1, 0, 3]])))
    image = np.ascontiguousarray(scene.image[..., ::-1])
    _write_whole(_image_path(root, split, name), _png(image))


def _image_path(root: Path, split: str, name: str) -> Path:
    return root / "leftImg8bit" / split / name.split("_")[0] / f"{name}_leftImg8bit.png"


def _claim(root: Path, request: Mapping[str, object]) -> None:
    """Take a folder for the scenes of one request, or refuse it where it holds anything else."""
    path = root / REQUEST
    if path.is_file():
        there = json.loads(path.read_bytes())
        changed = [
            f"{name} {there.get(name)}, not {value}" for name, value in request.items() if there.get(name) != value
        ]
        if changed:
            raise UserError(f"{root} holds scenes that were drawn with {', '.join(changed)}: give another folder")
        return
    if root.is_dir() and any(not item.name.startswith(".") for item in root.iterdir()):
        raise UserError(f"{root} is not empty and was not made by lumen render: give another folder for the scenes")
    _write_whole(path, (json.dumps(request, sort_keys=True) + "\n").encode())


def _render(task: _Task) -> None:
    write_scene(task.root, task.split, task.name, render_scene(task.seed, task.height, task.width))


def _single_threaded() -> None:
    cv2.setNumThreads(1)


def write_dataset(root: Path, counts: Mapping[str, int], seed: int, height: int, width: int, workers: int) -> None:
    """Render `counts[split]` scenes a split into `root`, in the Cityscapes layout, with `workers` processes.

    What is written depends on seed, counts and size alone, not on the number of workers. Scenes that are there
    already are not drawn again. Raises UserError for a count, size or number of workers that makes no sense, and
    where `root` holds other scenes or anything else.
    """
    if workers < 1:
        raise UserError(f"workers is {workers}; at least 1 process must render")
    for split, count in counts.items():
        if count < 0:
            raise UserError(f"{count} scenes asked for split {split!r}; a count is 0 or more")
    _claim(root, {**counts, "seed": seed, "height": height, "width": width})
    tasks = []
    for split, count in counts.items():
        for index in range(count):
            city = CITIES[(index // _SEQUENCE) % len(CITIES)]
            name = f"{city}_{index // _SEQUENCE:06d}_{index % _SEQUENCE:06d}"
            if not _image_path(root, split, name).is_file():
                tasks.append(_Task(root, split, name, scene_seed(seed, split, index), height, width))
    if workers == 1:
        for task in tasks:
            _render(task)
        return
    # Forking a process that holds the threads of a tensor library can hang; a fresh interpreter cannot.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_single_threaded) as pool:
        for _ in pool.map(_render, tasks, chunksize=max(1, min(8, len(tasks) // (4 * workers)))):
            pass
