"""Files with the name of an image or a label in a format that is not read are named, by every reader and command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.errors import UserError
from pipeline.datasets import FolderOptions, open_dataset
from pipeline.datasets.pairing.unread_files import common_ending
from pipeline.inspection import dataset_subject, inspect, lines_of
from tests.pipeline.datasets.trees import (
    random_image,
    write_camvid32_image,
    write_camvid_image,
    write_cityscapes_image,
    write_folder_image,
)
from tests.pipeline.datasets.trees_coco import PanopticSplit, segment
from tests.pipeline.datasets.trees_sets import (
    ade20k_object,
    save_jpeg,
    seg_png,
    write_ade20k_full_image,
    write_ade20k_image,
    write_bdd100k_image,
)

SHAPE = (16, 24)
IMAGE = random_image(np.random.default_rng(0), *SHAPE)
IDS = np.zeros(SHAPE, np.uint8)
COLOURS = np.zeros((*SHAPE, 3), np.uint8)


def cityscapes(root: Path, name: str) -> None:
    write_cityscapes_image(root, "train", f"town_{name}_000000", IMAGE, IDS)


def folder(root: Path, name: str) -> None:
    write_folder_image(root, "train", f"{name}.png", IMAGE, IDS)
    (root / "classes.txt").write_text("road\nsky\n")


def ade20k_full(root: Path, name: str) -> None:
    seg = seg_png(np.ones(SHAPE, int), IDS)
    write_ade20k_full_image(root, "training/urban/street", f"ADE_train_{name}", IMAGE, seg, [ade20k_object("road", 1)])


def coco_stuff(root: Path, name: str) -> None:
    save_jpeg(root / "train2017" / f"{name}.jpg", IMAGE)
    (root / "stuffthingmaps" / "train2017").mkdir(parents=True, exist_ok=True)
    Image.fromarray(IDS).save(root / "stuffthingmaps" / "train2017" / f"{name}.png")


def ade20k(root: Path, name: str) -> None:
    write_ade20k_image(root, "training", name, IMAGE, IDS)


def bdd100k(root: Path, name: str) -> None:
    write_bdd100k_image(root, "10k", "train", name, IMAGE, IDS)


def camvid(root: Path, name: str) -> None:
    write_camvid_image(root, "train", name, IMAGE, IDS)


def camvid32(root: Path, name: str) -> None:
    write_camvid32_image(root, name, IMAGE, COLOURS, "train")


# The folders of images and of labels, and what writes a pair.
SETS: dict[str, tuple[str, str, Callable[[Path, str], None]]] = {
    "ade20k": ("images/training", "annotations/training", ade20k),
    "ade20k-full": ("images/ADE", "images/ADE", ade20k_full),
    "bdd100k": ("images/10k", "labels/sem_seg/masks", bdd100k),
    "camvid": ("train", "trainannot", camvid),
    "camvid-32": ("train", "train_labels", camvid32),
    "cityscapes": ("leftImg8bit", "gtFine", cityscapes),
    "coco-stuff": ("train2017", "stuffthingmaps", coco_stuff),
    "folder": ("images", "masks", folder),
}


def write(root: Path, kind: str) -> tuple[Path, Path]:
    """Two pairs, of which the first one's image and label are returned."""
    images, labels, write_pair = SETS[kind]
    for name in ("one", "two"):
        write_pair(root, name)
    is_label = {"ade20k-full": "_seg.png", "cityscapes": "_labelIds.png"}.get(kind, "")
    ending = ".jpg" if kind == "ade20k-full" else "g"
    image = next(path for path in sorted((root / images).rglob("*one*")) if path.name.endswith(ending))
    label = next(path for path in sorted((root / labels).rglob("*one*")) if path.name.endswith(is_label or ".png"))
    return image, label


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
def test_a_lossy_label_is_named_and_its_image_is_not_called_unlabelled(tmp_path: Path, kind: str, suffix: str) -> None:
    _, label = write(tmp_path, kind)
    lossy = label.with_suffix(suffix)
    Image.open(label).convert("RGB").save(lossy)
    label.unlink()
    said = rf"split 'train': 1 images have labels that are not read: .*{lossy.name} \({suffix[1:].upper()} is lossy"
    with pytest.raises(UserError, match=said):
        open_dataset(kind, tmp_path).records("train")
    report = inspect(dataset_subject(kind, str(tmp_path)), workers=1)
    assert not report.is_sound
    assert any(lossy.name in line and "is lossy" in line for line in lines_of(report))
    assert any(path.endswith(lossy.name) for path in report.to_json()["unread"][0]["files"])  # type: ignore[index, call-overload, union-attr]


@pytest.mark.parametrize("kind", SETS)
def test_an_image_that_is_not_read_is_named(tmp_path: Path, kind: str) -> None:
    image, _ = write(tmp_path, kind)
    image.rename(image.with_suffix(".heic"))
    said = rf"split 'train': 1 files of images are not read: .*{image.stem}\.heic \(HEIC is not read: images are \."
    with pytest.raises(UserError, match=said):
        open_dataset(kind, tmp_path).records("train")
    report = inspect(dataset_subject(kind, str(tmp_path)), workers=1)
    assert not report.is_sound
    assert any(f"{image.stem}.heic" in line for line in lines_of(report))


@pytest.mark.parametrize("kind", SETS)
def test_nothing_is_said_of_a_set_that_is_whole(tmp_path: Path, kind: str) -> None:
    image, _ = write(tmp_path, kind)
    # A photograph as the phone stored it, beside what was made of it.
    image.with_suffix(".heic").write_bytes(b"")
    assert len(open_dataset(kind, tmp_path).records("train")) == 2
    assert not dataset_subject(kind, str(tmp_path)).unread


def test_segment_maps_of_coco_that_are_not_read_are_named(tmp_path: Path) -> None:
    split = PanopticSplit(tmp_path, "train")
    for number in (1, 2):
        split.add(str(number), np.ones(SHAPE, int), [segment(1, 1)])
    split.write()
    maps = tmp_path / "annotations" / "panoptic_train"
    Image.open(maps / "1.png").save(maps / "1.jpg")
    (maps / "1.png").unlink()
    with pytest.raises(
        UserError, match=r"1 images have labels that are not read: .*panoptic_train/1\.jpg \(JPG is lossy"
    ):
        open_dataset("coco", tmp_path).records("train")


def test_images_alone_that_are_not_read_are_named(tmp_path: Path) -> None:
    for kind, place in (("folder", "images/train"), ("bdd100k-100k", "images/100k/train"), ("coco", "train")):
        (tmp_path / kind / place).mkdir(parents=True)
        save_jpeg(tmp_path / kind / place / "a.jpg", IMAGE)
        (tmp_path / kind / place / "b.HEIC").write_bytes(b"")
        if kind == "coco":
            (tmp_path / kind / "annotations").mkdir()
            (tmp_path / kind / "annotations" / "captions_train.json").write_text(
                '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}'
            )
        with pytest.raises(UserError, match=r"1 files of images are not read: .*/b\.HEIC \(HEIC is not read"):
            open_dataset(kind, tmp_path / kind).records("train")


@pytest.mark.parametrize("partly", [False, True])
def test_masks_in_no_format_of_images_are_named_though_images_may_lack_them(tmp_path: Path, partly: bool) -> None:
    folder(tmp_path, "one")
    for name in ("two", "three"):
        write_folder_image(tmp_path, "train", f"{name}.png", IMAGE)
        np.save(tmp_path / "masks" / "train" / f"{name}.npy", IDS)
    with pytest.raises(UserError, match=r"2 images have labels .*masks/train/three\.npy and 1 more \(NPY is not read"):
        open_dataset("folder", tmp_path, FolderOptions(partly_labelled=partly)).records("train")


def test_masks_beside_images_are_named_where_they_are_lossy(tmp_path: Path) -> None:
    save_jpeg(tmp_path / "train" / "a.jpg", IMAGE)
    save_jpeg(tmp_path / "train" / "a_mask.jpg", COLOURS)
    save_jpeg(tmp_path / "train" / "b.jpg", IMAGE)
    Image.fromarray(IDS).save(tmp_path / "train" / "b_mask.png")
    (tmp_path / "classes.txt").write_text("road\n")
    options = FolderOptions(images="{split}", masks="{split}", mask_suffix="_mask")
    with pytest.raises(UserError, match=r"1 images have labels that are not read: train/a_mask\.jpg \(JPG is lossy"):
        open_dataset("folder", tmp_path, options).records("train")


def test_gif_masks_are_read_and_their_ending_is_named(tmp_path: Path) -> None:
    write_folder_image(tmp_path, "train", "a.png", IMAGE)
    ids = np.random.default_rng(1).integers(0, 2, SHAPE).astype(np.uint8)
    mask = Image.fromarray(ids, mode="P")
    mask.putpalette([0, 0, 0, 255, 255, 255])
    (tmp_path / "masks" / "train").mkdir(parents=True)
    mask.save(tmp_path / "masks" / "train" / "a_mask.gif")
    (tmp_path / "classes.txt").write_text("road\nsky\n")
    with pytest.raises(UserError, match=r"; masks there end in _mask: set dataset\.folder\.mask_suffix=_mask$"):
        open_dataset("folder", tmp_path).records("train")
    dataset = open_dataset("folder", tmp_path, FolderOptions(mask_suffix="_mask"))
    np.testing.assert_array_equal(dataset.load(dataset.records("train")[0]).label, ids)


def test_the_ending_of_labels_is_what_all_of_them_have_behind_the_name_of_an_image() -> None:
    assert common_ending({"a", "ab"}, {"a_L", "ab_L"}) == "_L"
    assert common_ending({"a", "b"}, {"a_L", "b_M"}) is None
    assert common_ending({"a"}, {"b"}) is None
    assert common_ending({"a"}, {"a"}) is None


def test_avif_is_read(tmp_path: Path) -> None:
    smooth = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], (64, 64, 3))
    (tmp_path / "images" / "train").mkdir(parents=True)
    Image.fromarray(np.ascontiguousarray(smooth)).save(tmp_path / "images" / "train" / "a.avif", quality=95)
    dataset = open_dataset("folder", tmp_path)
    assert np.abs(dataset.load(dataset.records("train")[0]).image.astype(int) - smooth).max() < 12
