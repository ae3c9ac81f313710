"""The Cityscapes layout on disk, whatever the number of processes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.errors import UserError
from pipeline.scenes import render_scene, write_dataset
from pipeline.scenes.world.labels import PALETTE
from pipeline.scenes.writer import scene_seed

NAME = r"(?P<city>[a-z]+)_\d{6}_\d{6}"
COUNTS = {"train": 3, "val": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes")
    write_dataset(path, COUNTS, seed=4, height=48, width=96, workers=1)
    return path


def _digests(root: Path) -> dict[str, str]:
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_names_and_modes_are_those_of_cityscapes(root: Path) -> None:
    kinds = {
        ("leftImg8bit", "leftImg8bit.png", "RGB"),
        ("gtFine", "gtFine_labelIds.png", "L"),
        ("gtFine", "gtFine_instanceIds.png", "I;16"),
        ("gtFine", "gtFine_color.png", "RGBA"),
    }
    for split, count in COUNTS.items():
        stems = set()
        for folder, ending, mode in kinds:
            files = sorted((root / folder / split).rglob(f"*_{ending}"))
            assert len(files) == count
            stems.add(tuple(f.name.removesuffix(f"_{ending}") for f in files))
            for file in files:
                match = re.fullmatch(f"{NAME}_{re.escape(ending)}", file.name)
                assert match is not None
                assert match["city"] == file.parent.name
                with Image.open(file) as image:
                    assert (image.mode, image.size) == (mode, (96, 48))
        assert len(stems) == 1
    assert not [p for p in root.rglob("*") if p.name.startswith(".") or p.suffix == ".tmp"]


def test_files_hold_the_scene_of_their_seed(root: Path) -> None:
    scene = render_scene(scene_seed(4, "val", 1), 48, 96)
    stem = sorted((root / "leftImg8bit" / "val").rglob("*.png"))[1].name.removesuffix("_leftImg8bit.png")
    city = stem.split("_")[0]
    truth = root / "gtFine" / "val" / city

    def read(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image)

    np.testing.assert_array_equal(read(root / "leftImg8bit" / "val" / city / f"{stem}_leftImg8bit.png"), scene.image)
    labels = read(truth / f"{stem}_gtFine_labelIds.png")
    np.testing.assert_array_equal(labels, scene.label_ids)
    np.testing.assert_array_equal(read(truth / f"{stem}_gtFine_instanceIds.png"), scene.instance_ids)
    np.testing.assert_array_equal(read(truth / f"{stem}_gtFine_color.png")[..., :3], PALETTE[labels])
    text = (root / "attributes" / "val" / city / f"{stem}_attributes.json").read_text()
    assert json.loads(text) == {"medium": "rendered", **scene.attributes}


def test_two_processes_write_the_same_bytes_as_one(root: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path, COUNTS, seed=4, height=48, width=96, workers=2)
    assert _digests(tmp_path) == _digests(root)


def test_interrupted_rendering_is_resumed(root: Path, tmp_path: Path) -> None:
    part = Path(shutil.copytree(root, tmp_path / "part"))
    missing = sorted(part.glob("leftImg8bit/train/*/*.png"))[1]
    missing.unlink()
    others = {path: path.stat().st_mtime_ns for path in part.glob("leftImg8bit/*/*/*.png")}
    write_dataset(part, COUNTS, seed=4, height=48, width=96, workers=1)
    assert _digests(part) == _digests(root)
    assert {path: path.stat().st_mtime_ns for path in others} == others


@pytest.mark.parametrize(
    ("counts", "seed", "expected"),
    [(COUNTS, 5, "seed 4, not 5"), ({"train": 4, "val": 2}, 4, "train 3, not 4")],
    ids=["seed", "count"],
)
def test_other_scenes_are_not_mixed_with_existing_ones(
    root: Path, counts: dict[str, int], seed: int, expected: str
) -> None:
    before = _digests(root)
    with pytest.raises(UserError, match=expected):
        write_dataset(root, counts, seed, height=48, width=96, workers=1)
    assert _digests(root) == before


def test_scenes_are_not_mixed_with_another_dataset(tmp_path: Path) -> None:
    (tmp_path / "leftImg8bit").mkdir()
    with pytest.raises(UserError, match="not empty"):
        write_dataset(tmp_path, COUNTS, seed=4, height=48, width=96, workers=1)
    assert [path.name for path in tmp_path.rglob("*")] == ["leftImg8bit"]


def test_splits_and_seeds_share_no_scene() -> None:
    seeds = [scene_seed(s, split, i) for s in (0, 1) for split in ("train", "val", "test") for i in range(300)]
    assert len(set(seeds)) == len(seeds)


def test_palette_is_the_official_one() -> None:
    assert PALETTE.shape == (34, 3)
    official = {7: (128, 64, 128), 11: (70, 70, 70), 19: (250, 170, 30), 23: (70, 130, 180), 26: (0, 0, 142)}
    assert {i: tuple(PALETTE[i].tolist()) for i in official} == official


@pytest.mark.parametrize(("counts", "workers"), [({"train": -1}, 1), ({"train": 1}, 0)])
def test_senseless_requests_are_refused(tmp_path: Path, counts: dict[str, int], workers: int) -> None:
    with pytest.raises(UserError):
        write_dataset(tmp_path, counts, seed=0, height=48, width=96, workers=workers)
