"""Writes rendered scenes in the on-disk format of Cityscapes."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from augment.files import write_whole
from pipeline.scenes.scene import Scene, render_scene
from pipeline.scenes.world.labels import PALETTE

CITIES = ("ashford", "brenlund", "corvale", "dunmark", "elsbeck", "fairhaven", "grimstad", "holmwick")
"""Invented towns; the scenes are spread over them."""

REQUEST = "scenes.json"
"""The seed, size and counts of the scenes in a folder, written before the first scene."""

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
    """The seed of scene `index` of a split, in 0..2**63-1; it depends on these arguments alone."""
    words = np.random.SeedSequence([seed, *split.encode(), index]).generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])


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
    attributes = json.dumps({"medium": "rendered", **scene.attributes}, sort_keys=True) + "\n"
    truth = f"gtFine/{split}/{city}/{name}_gtFine"
    files = {
        root / f"attributes/{split}/{city}/{name}_attributes.json": attributes.encode(),
        root / f"{truth}_labelIds.png": _png(scene.label_ids),
        root / f"{truth}_instanceIds.png": _png(scene.instance_ids),
        root / f"{truth}_color.png": _png(np.ascontiguousarray(rgba[..., [2, 1, 0, 3]])),
        _image_path(root, split, name): _png(np.ascontiguousarray(scene.image[..., ::-1])),
    }
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)


def _image_path(root: Path, split: str, name: str) -> Path:
    return root / "leftImg8bit" / split / name.split("_")[0] / f"{name}_leftImg8bit.png"


def _claim(root: Path, request: Mapping[str, object]) -> None:
    """Claim a folder for the scenes of one request; raise UserError if it holds anything else."""
    path = root / REQUEST
    if path.is_file():
        there = json.loads(path.read_bytes())
        changed = [
            f"{name} {there.get(name)}, not {value}" for name, value in request.items() if there.get(name) != value
        ]
        if changed:
            raise UserError(f"{root} holds scenes that were rendered with {', '.join(changed)}: give another folder")
        return
    if root.is_dir() and any(not item.name.startswith(".") for item in root.iterdir()):
        raise UserError(f"{root} is not empty and was not made by lumen render: give another folder for the scenes")
    root.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(request, sort_keys=True) + "\n")


def _render(task: _Task) -> None:
    write_scene(task.root, task.split, task.name, render_scene(task.seed, task.height, task.width))


def _single_threaded() -> None:
    cv2.setNumThreads(1)


def write_dataset(root: Path, counts: Mapping[str, int], seed: int, height: int, width: int, workers: int) -> None:
    """Render `counts[split]` scenes of each split into `root`, in the Cityscapes format, with `workers` processes.

    The files depend on seed, counts and size alone, not on the number of workers. Existing scenes are not rendered
    again. Raises UserError for a count, size or number of workers out of range, and if `root` holds other scenes or
    anything else.
    """
    if workers < 1:
        raise UserError(f"workers is {workers}; at least 1 process must render")
    for split, count in counts.items():
        if count < 0:
            raise UserError(f"{count} scenes requested for split {split!r}; a count is 0 or more")
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
