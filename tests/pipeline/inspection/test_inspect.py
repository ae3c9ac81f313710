"""`lumen inspect` counts the contents, reports what is missing, and refuses nothing that it can describe."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.errors import UserError
from pipeline.cli import guarded
from pipeline.engine import Failed
from pipeline.inspection import contact_sheet, dataset_subject, inspect, layout_sheet, lines_of, store_subject
from pipeline.inspection.drawing import MARK
from pipeline.inspection.sheet import caption_facts
from pipeline.inspection.statistics import MOST_VALUES, Statistics
from pipeline.store import JSON, Manifest, Sample, Store
from pipeline.taxonomies import CAMVID
from tests.pipeline.datasets.trees import random_image, save, write_camvid_image, write_cityscapes_image
from tests.pipeline.datasets.trees_sets import write_ade20k_image

Output = pytest.CaptureFixture[str]


def write_tree(root: Path, splits: dict[str, int], seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for split, count in splits.items():
        for number in range(count):
            label = rng.integers(0, 12, (16, 24), dtype=np.uint8)
            write_camvid_image(root, split, f"{number:04d}", random_image(rng, 16, 24), label)


def test_the_count_is_that_of_a_loop_over_the_files(camvid_root: Path) -> None:
    report = inspect(dataset_subject("camvid", str(camvid_root)), workers=1)
    total, pixels, seen, sizes = 0, Counter[int](), Counter[int](), Counter[tuple[int, ...]]()
    for path in sorted(camvid_root.glob("*annot/*.png")):
        label = np.asarray(Image.open(path))
        total += 1
        sizes[label.shape] += 1
        for index in range(12):
            count = int((label == index).sum())
            pixels[index] += count
            seen[index] += count > 0
    found = json.loads(json.dumps(report.to_json()))["total"]
    assert found["samples"] == found["labelled"] == total == 468
    assert found["sizes"] == [{"height": h, "width": w, "images": n} for (h, w), n in sizes.items()]
    of_classes = sum(pixels[index] for index in range(11))
    for index, name in enumerate(CAMVID.classes):
        assert found["classes"][name]["pixels"] == pixels[index]
        assert found["classes"][name]["images"] == seen[index]
        assert found["classes"][name]["share"] == pytest.approx(pixels[index] / of_classes)
    assert found["ignored"]["pixels"] == pixels[11]
    assert found["attributes"]["time_of_day"] == {"day": 406, "dusk": 62}
    assert report.splits["train"].samples == 367
    assert report.is_sound


def test_the_figures_do_not_depend_on_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.inspection.examine._WORTH_A_PROCESS", 16)
    write_tree(tmp_path, {"train": 40, "val": 20})
    (tmp_path / "train" / "0003.png").write_bytes(b"")
    subject = dataset_subject("camvid", str(tmp_path))
    assert inspect(subject, workers=2).to_json() == inspect(subject, workers=1).to_json()


def test_the_order_of_equal_counts_does_not_depend_on_who_ended_first() -> None:
    parts = []
    for height, weather in ((8, "snow"), (16, "fog"), (4, "rain")):
        parts.append(Statistics(0))
        parts[-1].add(Sample(weather, np.zeros((height, 4, 3), np.uint8), metadata={"weather": weather}), 255)
    found = []
    for order in (parts, parts[::-1]):
        total = Statistics(0)
        for part in order:
            total.merge(part)
        found.append(json.dumps(total.to_json(None)))
    assert found[0] == found[1]
    assert list(json.loads(found[0])["attributes"]["weather"]) == ["fog", "rain", "snow"]


def test_flat_images_are_counted_and_not_compared(tmp_path: Path) -> None:
    for split, grey in (("train", 0), ("val", 128)):
        write_camvid_image(tmp_path, split, "0", np.full((16, 24, 3), grey, np.uint8), np.zeros((16, 24), np.uint8))
    report = inspect(dataset_subject("camvid", str(tmp_path)), workers=1)
    assert (report.flat, list(report.near_duplicates)) == (2, [])
    assert "  not compared: 2 images of almost no contrast" in lines_of(report)


def test_a_half_extracted_set_is_described(tmp_path: Path, capsys: Output) -> None:
    write_tree(tmp_path, {"train": 6, "val": 3, "test": 1})
    for path in ("trainannot/0001.png", "trainannot/0004.png", "train/0002.png"):
        (tmp_path / path).unlink()
    (tmp_path / "train" / "0005.png").write_bytes(b"no image")
    (tmp_path / "train" / "0000.png").write_bytes(b"")
    assert guarded(["inspect", "camvid", str(tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["camvid"]
    assert found["unpaired"] == [
        {
            "split": "train",
            "images": 5,
            "labels": 4,
            "images_without_label": ["0001.png", "0004.png"],
            "labels_without_image": ["0002.png"],
        }
    ]
    assert not found["sound"]
    assert {kind: row["images"] for kind, row in found["splits"]["train"]["unreadable"].items()} == {
        "empty image": 1,
        "unidentified image": 1,
    }
    assert found["splits"]["train"]["samples"] == 3
    assert found["splits"]["val"]["labelled"] == 3
    assert guarded(["inspect", "camvid", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert "2 images without a label (0001.png, 0004.png), expected" in text
    assert "1 labels without an image (0002.png)" in text
    assert "1 x empty image, such as" in text
    assert "no file is missing" not in text


def test_a_split_without_any_image_is_described(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 2, "val": 2})
    for path in (tmp_path / "val").iterdir():
        path.unlink()
    report = inspect(dataset_subject("camvid", str(tmp_path)))
    assert report.splits["val"].samples == 0
    assert not report.is_sound
    assert any("split 'val', 0 images and 2 labels: no image" in line for line in lines_of(report))


def test_a_reader_refuses_again_after_an_inspection(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 2})
    (tmp_path / "trainannot" / "0001.png").unlink()
    from pipeline.datasets import open_dataset

    dataset_subject("camvid", str(tmp_path))
    with pytest.raises(UserError, match="1 of its images have no label"):
        open_dataset("camvid", tmp_path).records("train")


def test_a_copy_in_another_split_is_reported_first(tmp_path: Path, capsys: Output) -> None:
    write_tree(tmp_path, {"train": 4, "val": 2})
    noise = Image.fromarray(random_image(np.random.default_rng(9), 12, 16))
    noise.resize((240, 180), Image.Resampling.BICUBIC).save(tmp_path / "train" / "0007.png")
    noise.resize((320, 240), Image.Resampling.BICUBIC).save(tmp_path / "val" / "0009.jpg", quality=70)
    for split, name, size in (("train", "0007", (180, 240)), ("val", "0009", (240, 320))):
        Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / f"{split}annot" / f"{name}.png")
    assert guarded(["inspect", "camvid", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["camvid"]["near_duplicates"]
    assert found["counts"] == [
        {"split": "train", "other_split": "val", "images": 1},
        {"split": "val", "other_split": "train", "images": 1},
    ]
    assert {row["key"] for row in found["images"]} == {"train_0007", "val_0009"}
    assert guarded(["inspect", "camvid", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  1 of 3 images of val have one in train" in lines


def test_rare_and_absent_classes_follow_the_stated_rule() -> None:
    statistics = Statistics(5)
    for number in range(200):
        label = np.zeros((100, 100), np.uint8)
        label[0, :20] = 1  # 0.2 % of the pixels of every image
        label[1, 0] = 3  # a single one of every image
        if number == 0:
            label[50:] = 2  # half of one image, which is 0.5 % of them
        statistics.add(Sample(f"k{number}", label=label), 255)
    assert statistics.rare() == [2, 3]
    assert statistics.absent() == [4]
    assert statistics.images_with.tolist() == [200, 200, 1, 200, 0]
    assert statistics.shares[1] == pytest.approx(0.002)


def test_an_attribute_with_too_many_values_is_not_kept_whatever_the_order() -> None:
    parts = []
    for start in (0, MOST_VALUES - 1):
        part = Statistics(0)
        for number in range(start, start + MOST_VALUES):
            part.add(Sample(f"k{number}", metadata={"prompt": f"p{number}", "k": number % 3}), 255)
        parts.append(part)
    whole = Statistics(0)
    for part in reversed(parts):
        whole.merge(part)
    assert parts[0].attributes["prompt"].counts is not None
    assert whole.attributes["prompt"].counts is None
    assert whole.attributes["k"].counts == Counter({"0": 668, "1": 666, "2": 666})


def test_objects_boxes_and_captions_of_a_store_are_counted(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "s"), Manifest("real", "camvid", {"height": 8, "width": 8}))
    instances = np.zeros((8, 8), np.uint16)
    instances[0], instances[1] = 1, 700
    box = {"category": "car", "left": 0, "top": 0, "width": 2, "height": 2}
    image, label = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    metadata = {"split": "train", "boxes": [box, box], "captions": ["a street"], "weather": "rain"}
    store.write_shard(
        "train-000000",
        [Sample("a", image, label, metadata=metadata, instances=instances), Sample("b", image, label)],
    )
    found = inspect(store_subject(store.url)).to_json()["total"]
    assert isinstance(found, dict)
    assert found["instances"] == {"images": 1, "objects": 2}
    assert found["boxes"] == {"car": 2}
    assert found["captioned"] == 1
    assert found["attributes"] == {"weather": {"rain": 1}}


def test_ids_of_no_class_in_a_store_are_counted_and_not_sound(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "s"), Manifest("real", "camvid", {}))
    label = np.array([[0, 10, 11, 255], [77, 11, 254, 1]], np.uint8)
    store.write_shard("train-000000", [Sample("a", np.zeros((2, 4, 3), np.uint8), label, metadata={"split": "train"})])
    report = inspect(store_subject(store.url))
    assert (report.total.unknown, report.total.ignored, report.total.pixels.sum()) == (4, 1, 3)
    assert not report.is_sound


def test_all_stores_of_a_workspace_are_reported_by_name(generated: Path, capsys: Output) -> None:
    assert guarded(["inspect", str(generated), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["real", "layouts", "synthetic"]
    assert found["layouts"]["total"]["layouts"] == [{"components": 4, "height": 4, "width": 8, "layouts": 7}]
    assert found["synthetic"]["total"]["attributes"]["k"] == {"0": 14, "4": 14}
    assert found["real"]["splits"]["train"]["samples"] == 5
    assert guarded(["inspect", str(generated / "real"), "--split", "val"]) == 0
    assert "real in" in (text := capsys.readouterr().out)
    assert "2 samples (val 2)" in text


def test_a_limit_thins_every_split(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 20, "val": 3})
    subject = dataset_subject("camvid", str(tmp_path), limit=5)
    keys = {split: [key for unit in units for key in unit.keys] for split, units in subject.units.items()}
    # One of each run of four.
    assert [int(key.removeprefix("train_")) // 4 for key in keys["train"]] == list(range(5))
    assert len(keys["val"]) == 3


def test_a_limit_takes_tiles_of_every_place(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path), Manifest("real", "camvid", {"height": 16, "width": 24}))
    image, label = np.zeros((16, 24, 3), np.uint8), np.zeros((16, 24), np.uint8)
    keys = [f"train_{number:02d}_r0_c{column}" for number in range(16) for column in range(4)]
    store.write_shard("train-000000", [Sample(key, image, label) for key in keys])
    subject = store_subject(store.url, limit=16)
    columns = Counter(key[-1] for unit in subject.units["train"] for key in unit.keys)
    assert min(columns[column] for column in "0123") >= 3


def test_the_sheet_shows_images_labels_and_what_cannot_be_read(tmp_path: Path) -> None:
    write_tree(tmp_path / "data", {"train": 3, "val": 2})
    flat = np.full((16, 24, 3), (250, 10, 200), np.uint8)
    write_camvid_image(tmp_path / "data", "train", "0000", flat, np.full((16, 24), 2, np.uint8))
    (tmp_path / "data" / "val" / "0001.png").write_bytes(b"")
    sheet = tmp_path / "new" / "sheet.png"
    assert guarded(["inspect", "camvid", str(tmp_path / "data"), "--sheet", str(sheet)]) == 1
    pixels = np.asarray(Image.open(sheet).convert("RGB")).reshape(-1, 3)
    colors = {tuple(color) for color in pixels[::5].tolist()}
    assert (250, 10, 200) in colors
    assert CAMVID.palette[2] in colors
    assert np.asarray(contact_sheet(dataset_subject("camvid", str(tmp_path / "data")), 1)).shape[1] < 500


def test_the_sheet_shows_the_whole_of_a_tall_image(tmp_path: Path) -> None:
    tall = np.full((100, 10, 3), (250, 10, 200), np.uint8)
    write_camvid_image(tmp_path, "train", "0000", tall, np.full((100, 10), 2, np.uint8))
    sheet = np.asarray(contact_sheet(dataset_subject("camvid", str(tmp_path))))
    rows, columns = np.nonzero((sheet == (250, 10, 200)).all(axis=2))
    assert np.ptp(rows) + 1 == 10 * (np.ptp(columns) + 1) == 400


def test_a_workspace_has_a_sheet_for_each_store(generated: Path, tmp_path: Path, capsys: Output) -> None:
    assert guarded(["inspect", str(generated), "--sheet", str(tmp_path / "sheet.png")]) == 0
    files = [tmp_path / f"sheet-{name}.png" for name in ("real", "layouts", "synthetic")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert [line for line in capsys.readouterr().out.splitlines() if "sheet" in line] == [
        f"contact sheet: {file}" for file in files
    ]
    sheets = {"real": contact_sheet, "layouts": layout_sheet, "synthetic": contact_sheet}
    for (name, sheet), file in zip(sheets.items(), files, strict=True):
        own = sheet(store_subject(str(generated / name)))
        np.testing.assert_array_equal(np.asarray(Image.open(file)), np.asarray(own))


def test_captions_of_synthetic_samples_say_k_where_there_is_one_and_edits(tmp_path: Path) -> None:
    def facts(**metadata: JSON) -> str:
        return caption_facts("train", Sample("train_a", metadata=metadata)).strip()

    assert facts(k=5) == "k=5" and facts() == ""
    assert facts(k=64, conditioning="canny") == ""
    assert facts(k=0, conditioning="soft_edge") == "without soft edges"
    assert caption_facts("val", Sample("a", metadata={"k": 0})) == "  val  k=0"

    def marked(edited: bool) -> bool:
        image = np.zeros((16, 16, 3), np.uint8)
        store = Store.create(str(tmp_path / f"{edited}"), Manifest("synthetic", None, {}))
        metadata = {"k": 5, "split": "train", "edited": edited}
        store.write_shard("train-000000", [Sample("train_a", image, metadata=metadata)])
        return bool((np.asarray(contact_sheet(store_subject(store.url))) == MARK).all(axis=2).any())

    assert marked(True) and not marked(False)


def test_unknown_ids_in_a_label_are_a_failure_by_kind(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 2})
    Image.fromarray(np.full((16, 24), 77, np.uint8)).save(tmp_path / "trainannot" / "0001.png")
    report = inspect(dataset_subject("camvid", str(tmp_path)))
    assert report.total.failures["unknown label id"].count == 1
    [sample] = [item for unit in report.subject.units["train"] for item in report.subject.source.read(unit)][1:]
    assert isinstance(sample, Failed)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], "neither a store"),
        (["camvid"], "give its folder too"),
        (["holiday", "photos"], "no kind of dataset: give one of rendered, cityscapes"),
        (["camvid", "nowhere"], "does not exist"),
        (["camvid", "nowhere", "--limit", "0"], "give 1 or more"),
        (["camvid", "nowhere", "--sheet", "a.gif"], ".png"),
        (["camvid", "nowhere", "--distance", "9"], "--distance"),
    ],
    ids=str,
)
def test_a_users_mistake_is_one_line(
    arguments: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = guarded(["inspect", *arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1


def test_a_split_that_is_not_there_is_named(generated: Path, capsys: Output) -> None:
    assert guarded(["inspect", str(generated / "real"), "--split", "night"]) == 2
    assert "has no split 'night': its splits are train, val" in capsys.readouterr().err


def test_a_dataset_without_training_images_lacks_something(tmp_path: Path, capsys: Output) -> None:
    write_tree(tmp_path, {"val": 1, "test": 1})
    assert guarded(["inspect", "camvid", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    expected = f"no split 'train': expected the folder {tmp_path / 'train'}, but the dataset has the splits test, val"
    assert f"{expected}; every run needs 'train'\n" in text
    assert "no file is missing" not in text
    assert guarded(["inspect", "camvid", str(tmp_path), "--split", "val"]) == 0


def test_objects_and_missing_labels_of_cityscapes_are_reported(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("test", 2)):
        for number in range(count):
            ids = np.full((16, 32), 26, np.uint8)
            objects = np.where(np.arange(32) < 16, 26_000, 26_001).astype(np.uint16)[None].repeat(16, axis=0)
            labels = (ids, None, None, objects) if split == "train" and number else ()
            write_cityscapes_image(tmp_path, split, f"ulm_{number:06d}_000019", random_image(rng, 16, 32), *labels)
    report = inspect(dataset_subject("cityscapes", str(tmp_path)))
    # Labels of the test split are withheld by their owner, and not missing.
    [unpaired] = report.subject.unpaired
    assert (unpaired.split, unpaired.without_label) == ("train", ("ulm_000000_000019_leftImg8bit.png",))
    assert (report.splits["train"].samples, report.splits["train"].labelled) == (3, 2)
    assert (report.total.with_instances, report.total.instances) == (2, 4)


def test_an_image_of_ade20k_without_its_annotation_is_reported(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        ids = rng.integers(0, 151, (16, 24), dtype=np.uint8)
        write_ade20k_image(tmp_path, "training", name, random_image(rng, 16, 24), ids if name == "a" else None)
    report = inspect(dataset_subject("ade20k", str(tmp_path)))
    assert any("1 images without a label (b.jpg)" in line for line in lines_of(report))


def test_a_plain_folder_is_inspected_in_the_folders_of_its_settings(tmp_path: Path, capsys: Output) -> None:
    for number in range(3):
        save(tmp_path / "photos" / f"{number}.png", random_image(np.random.default_rng(number), 16, 24))
    assert guarded(["inspect", "folder", str(tmp_path), "dataset.folder.images=photos"]) == 0
    assert "3 samples (train 3)" in capsys.readouterr().out
    assert guarded(["inspect", "folder", "dataset.folder.images=photos", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["folder", "nowhere", "dataset.folder.image=x"], "unknown key 'dataset.folder.image': did you mean"),
        (["folder", "dataset.folder.image=x", "nowhere"], "unknown key 'dataset.folder.image': did you mean"),
        (["folder", "dataset.folder.image=x"], "unknown key 'dataset.folder.image': did you mean"),
        (["folder", "dataset.folder.images=x"], "give its folder too"),
        (["folder", "nowhere", "generate.ks=[1]"], "'generate.ks=[1]': after its folder, an inspection takes only"),
        (["cityscapes", "nowhere", "dataset.folder.images=x"], "'cityscapes' takes no folder section"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_reported_before_anything_is_read(
    arguments: list[str], expected: str, capsys: Output
) -> None:
    assert guarded(["inspect", *arguments]) == 2
    assert expected in capsys.readouterr().err


def test_names_of_many_absent_classes_are_counted(tmp_path: Path, capsys: Output) -> None:
    names = [f"class number {number} of a large set" for number in range(3000)]
    save(tmp_path / "images/train/a.png", random_image(np.random.default_rng(0), 16, 24))
    save(tmp_path / "masks/train/a.png", np.arange(2, dtype=np.uint16)[None].repeat(16, axis=0).repeat(12, axis=1))
    (tmp_path / "classes.txt").write_text("\n".join(names))
    assert guarded(["inspect", "folder", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert f"in no image: 2998 classes, such as {names[2]}, " in text
    assert len(text) < 2500
    assert guarded(["inspect", "folder", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"]["total"]["absent"] == names[2:]
