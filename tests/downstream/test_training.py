"""Training on stores: it learns, resumes to the bit, and its numbers are those of the segmenter it leaves."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from pydantic import ValidationError

from augment.errors import UserError
from augment.metrics import confusion_matrix, mean_iou
from augment.progress import OnStep, TrainingStep
from downstream.dataset import Part
from downstream.evaluation import judged_miou, require_classes
from downstream.judge import Judge
from downstream.mixes import Mix
from downstream.options import SegmenterTraining
from downstream.results import read_result
from downstream.segmenters import build_segmenter, segmenter_config
from downstream.statistics.counts import read_counts
from downstream.statistics.jackknife import class_iou
from downstream.training import train
from pipeline.store import Manifest, SampleReader, Store, stack_pairs, verify_store
from pipeline.taxonomies import CAMVID, taxonomy_entry, taxonomy_of_classes
from tests.scalars import read_scalars

REAL = Mix("real", 1, 0)
OPTIONS = SegmenterTraining(iterations=40, batch_size=4, learning_rate=3e-3, decoder_channels=32, checkpoint_interval=7)


class Killed(BaseException):
    """Ends a run at once; nothing in the code under test catches it."""


def killed_after(iteration: int) -> OnStep:
    def on_step(step: TrainingStep) -> None:
        if step.step == iteration:
            raise Killed

    return on_step


@pytest.fixture(scope="module")
def finished(real_store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an undisturbed run on real samples."""
    folder = tmp_path_factory.mktemp("runs") / "real"
    torch.set_num_threads(1)
    train(REAL, real_store, None, OPTIONS, 0, folder)
    return folder


def test_short_training_lowers_the_loss_and_beats_chance(finished: Path) -> None:
    result = read_result(finished)
    assert result is not None
    losses = [loss for _, loss in result.losses]
    assert losses[-1] < 0.5 * losses[0]
    assert [at for at, _ in result.losses][-1] == result.iterations == 40
    # Four classes of which one covers half of the pixels: guessing it would give an mIoU of 0.12.
    assert result.miou > 0.3
    assert result.aacc > 0.7
    assert set(result.iou) == set(CAMVID.classes)
    assert result.iou["pedestrian"] is None


def test_result_is_that_of_the_saved_segmenter_on_validation_data(finished: Path, real_store: str) -> None:
    judge, reader = Judge.load(finished), SampleReader(Store.open(real_store))
    samples = [reader.read(key) for key in Part(real_store, "val").rows()["key"].to_pylist()]
    labels = np.stack([sample.label for sample in samples if sample.label is not None])
    images = np.stack([sample.image for sample in samples if sample.image is not None])
    confusion = confusion_matrix(labels, judge.predict(images), len(CAMVID))
    miou, per_class = mean_iou(confusion)
    result = read_result(finished)
    assert result is not None
    assert result.miou == pytest.approx(miou, abs=1e-4)
    assert result.aacc == pytest.approx(np.trace(confusion) / confusion.sum(), abs=1e-4)
    expected = [np.nan if result.iou[name] is None else result.iou[name] for name in CAMVID.classes]
    np.testing.assert_allclose(per_class, np.asarray(expected, float), atol=1e-3)


def test_counts_of_each_image_are_those_of_the_saved_segmenter_and_add_up_to_the_result(
    finished: Path, real_store: str
) -> None:
    counts, result, judge = read_counts(finished), read_result(finished), Judge.load(finished)
    assert counts is not None and result is not None
    assert counts.classes == CAMVID.classes
    reader = SampleReader(Store.open(real_store))
    assert counts.keys == tuple(key for key in reader.keys if key.startswith("val"))
    for place, key in enumerate(counts.keys):
        images, labels = stack_pairs([reader.read(key)])
        confusion = confusion_matrix(labels, judge.predict(images), len(CAMVID))
        assert (counts.label[place] == confusion.sum(axis=1)).all()
        assert abs(counts.intersection[place] - np.diagonal(confusion)).max() <= 2
        assert abs(counts.prediction[place] - confusion.sum(axis=0)).max() <= 2
    iou = class_iou(counts.intersection, counts.union)
    assert result.miou == pytest.approx(np.nanmean(iou), abs=1e-12)
    assert {name: None if np.isnan(of) else of for name, of in zip(counts.classes, iou, strict=True)} == result.iou
    (finished / "elsewhere").mkdir()
    assert read_counts(finished / "elsewhere") is None


def test_killed_run_resumes_to_the_same_weights_and_is_not_repeated_when_finished(
    finished: Path, real_store: str, run_dir: Path
) -> None:
    steps: list[TrainingStep] = []
    with pytest.raises(Killed):
        train(REAL, real_store, None, OPTIONS, 0, run_dir, killed_after(18))
    assert read_result(run_dir) is None
    result = train(REAL, real_store, None, OPTIONS, 0, run_dir, steps.append)
    # The last state before iteration 18 is that after 14.
    assert [step.step for step in steps if not step.phase] == list(range(15, 41))
    assert [step.is_last for step in steps if step.phase == "validation"][-1]
    assert set(read_scalars(run_dir, "loss")) == {at for at, _ in result.losses}
    undisturbed = read_result(finished)
    assert undisturbed is not None
    assert (run_dir / "segmenter.safetensors").read_bytes() == (finished / "segmenter.safetensors").read_bytes()
    assert replace(result, seconds=0) == replace(undisturbed, seconds=0)
    assert not list(run_dir.rglob("*.pth")) and not list(run_dir.rglob("*.pt"))

    steps.clear()
    before = (run_dir / "result.json").stat().st_mtime_ns
    assert train(REAL, real_store, None, OPTIONS, 0, run_dir, steps.append) == result
    assert steps == []
    assert (run_dir / "result.json").stat().st_mtime_ns == before


def test_state_is_saved_by_time_as_well(real_store: str, run_dir: Path) -> None:
    options = OPTIONS.model_copy(update={"iterations": 6, "checkpoint_interval": 100, "checkpoint_minutes": 1e-9})
    with pytest.raises(Killed):
        train(REAL, real_store, None, options, 0, run_dir, killed_after(4))
    steps: list[TrainingStep] = []
    train(REAL, real_store, None, options, 0, run_dir, steps.append)
    assert steps[0].step == 4


def test_workers_do_not_change_the_result(finished: Path, real_store: str, run_dir: Path) -> None:
    options = OPTIONS.model_copy(update={"num_workers": 2, "checkpoint_interval": 100, "val_batch_size": 3})
    train(REAL, real_store, None, options, 0, run_dir)
    assert not multiprocessing.active_children(), "a loader's processes outlive the training"
    assert (run_dir / "segmenter.safetensors").read_bytes() == (finished / "segmenter.safetensors").read_bytes()


def test_seed_and_mix_change_the_result(real_store: str, synthetic_store: str, tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"iterations": 4})
    mixes = (REAL, Mix("real+synthetic", 1, 1), Mix("synthetic", 0, 1, {"k": [5]}))
    results = [train(m, real_store, synthetic_store, options, 0, tmp_path / m.name) for m in mixes]
    results.append(train(REAL, real_store, None, options, 1, tmp_path / "other"))
    assert len({result.fingerprint for result in results}) == 4
    assert len({tuple(result.losses) for result in results}) == 4
    assert results[0].inputs["synthetic"] is None
    assert results[1].inputs["synthetic"] == results[2].inputs["synthetic"] != results[1].inputs["real"]


def test_folder_of_another_run_is_refused(finished: Path, real_store: str) -> None:
    with pytest.raises(UserError, match=r"options\.learning_rate: stored 0\.003, requested 0\.1"):
        train(REAL, real_store, None, OPTIONS.model_copy(update={"learning_rate": 0.1}), 0, finished)
    assert json.loads((finished / "request.json").read_text())["options"]["learning_rate"] == 0.003


def test_standard_output_stays_quiet(real_store: str, run_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(REAL, real_store, None, OPTIONS.model_copy(update={"iterations": 2}), 0, run_dir)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
    assert "decode.loss_ce" in "".join(path.read_text() for path in run_dir.rglob("*.log"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iterations": 0}, r"iterations\n.*greater than or equal to 1 .*input_value=0"),
        ({"scale_range": (2.0, 1.0)}, r"scale_range\n.*\[2\.0, 1\.0\] is in descending order"),
        ({"flip": 1.5}, r"flip\n.*less than or equal to 1 .*input_value=1\.5"),
    ],
)
def test_options_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SegmenterTraining(**change)


def test_training_on_the_evaluation_split_is_refused(real_store: str, run_dir: Path) -> None:
    with pytest.raises(UserError, match="both use the split 'val'"):
        train(REAL, real_store, None, OPTIONS, 0, run_dir, train_split="val")
    with pytest.raises(UserError, match="no synthetic store"):
        train(Mix("both", 1, 1), real_store, None, OPTIONS, 0, run_dir)


def test_ignored_pixels_neither_teach_nor_count(finished: Path) -> None:
    model = build_segmenter(segmenter_config("segformer_mit-b0", len(CAMVID), (32, 48), 32))
    inputs = torch.randn(2, 3, 32, 48)

    def loss(label: torch.Tensor) -> torch.Tensor:
        samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for _ in range(2)]
        torch.manual_seed(0)
        return model.loss(inputs, samples)["decode.loss_ce"]

    ignored = loss(torch.full((1, 32, 48), 255))
    ignored.backward()
    assert float(ignored) == 0
    assert all(not p.grad.any() for p in model.parameters() if p.grad is not None)
    assert float(loss(torch.zeros((1, 32, 48), dtype=torch.long)).detach()) > 0

    judge = Judge.load(finished)
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 48, 3)).astype(np.uint8)
    label = np.zeros((1, 32, 48), np.uint8)
    label[:, :16] = 255
    losses = judge.loss(image, label)
    assert (losses[:, :16] == 0).all()
    assert (losses[:, 16:] > 0).all()


def test_classes_of_sixteen_bits_are_learned_like_any_others(real_store: str, finished: Path, tmp_path: Path) -> None:
    # The classes of CamVid come after many others, where 8 bits do not reach.
    names = (*(f"other {number}" for number in range(300)), *CAMVID.classes)
    wide = taxonomy_of_classes("wide", names)
    store = Store.create(str(tmp_path / "s"), Manifest("real", taxonomy_entry(wide), {"height": 32, "width": 48}))
    reader = SampleReader(Store.open(real_store))
    for split in ("train", "val"):
        samples = [reader.read(key) for key in reader.keys if key.startswith(split)]
        labels = [np.where(sample.label == 255, 65535, sample.label.astype(np.uint16) + 300) for sample in samples]
        widened = [replace(sample, label=label) for sample, label in zip(samples, labels, strict=True)]
        store.write_shard(f"{split}-000000", widened)
    assert verify_store(store.url) == []

    result = train(REAL, store.url, None, OPTIONS.model_copy(update={"iterations": 15}), 0, tmp_path / "run")
    assert result.iou["other 3"] is None
    assert result.iou["road"] is not None and result.iou["road"] > 0.3
    assert result.aacc > 0.5

    judge, wide_reader = Judge.load(tmp_path / "run"), SampleReader(store)
    images, labels = stack_pairs([wide_reader.read(key) for key in wide_reader.keys if key.startswith("val")])
    by_hand = mean_iou(confusion_matrix(labels, judge.predict(images), len(wide), 65535))[1]
    assert result.iou["road"] == pytest.approx(by_hand[300 + CAMVID.classes.index("road")])

    sample = wide_reader.read("val-100")
    assert sample.image is not None and sample.label is not None
    assert (judge.predict(sample.image[None]) == sample.label)[0, :, 2:].mean() > 0.5
    assert (judge.loss(sample.image[None], sample.label[None])[0, :, :2] == 0).all()
    assert 0.3 < judged_miou(judge, [sample], 1) <= 1
    with pytest.raises(UserError, match=r"has the 311 classes of wide but the judge knows 11 others"):
        require_classes(Judge.load(finished), store)


def test_images_held_back_change_nothing(real_store: str, tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"iterations": 4})
    back = {f"train-{number}" for number in range(5, 24)}
    train(REAL, real_store, None, options, 0, tmp_path / "back", held_back=back)
    reader = SampleReader(Store.open(real_store))
    fewer = Store.create(str(tmp_path / "fewer"), Store.open(real_store).manifest)
    for split in ("train", "val"):
        kept = [reader.read(key) for key in reader.keys if key.startswith(split) and key not in back]
        fewer.write_shard(f"{split}-000000", kept)
    train(REAL, fewer.url, None, options, 0, tmp_path / "fewer-run")
    weights = [(tmp_path / run / "segmenter.safetensors").read_bytes() for run in ("back", "fewer-run")]
    assert weights[0] == weights[1]
    with pytest.raises(UserError, match="held_back"):
        train(REAL, real_store, None, options, 0, tmp_path / "back")


def test_fit_of_other_labels_is_their_mean_loss(finished: Path, real_store: str) -> None:
    reader = SampleReader(Store.open(real_store))
    images, labels = stack_pairs([reader.read(f"val-{number}") for number in range(100, 104)])
    judge = Judge.load(finished)
    loss, means = judge.compare(images, labels, labels[::-1], cap=2.0)
    np.testing.assert_array_equal(loss, judge.loss(images, labels))
    once = judge.losses(images, labels, labels[::-1])
    np.testing.assert_array_equal(once, [judge.loss(images, labels), judge.loss(images, labels[::-1])])
    with torch.inference_mode():
        target = torch.from_numpy(labels.astype(np.int64))
        usual = torch.nn.functional.cross_entropy(judge.logits(images), target, ignore_index=255, reduction="none")
    np.testing.assert_array_equal(loss, usual.numpy())
    labelled = labels[0] != 255
    crossed = np.minimum(judge.loss(images, np.broadcast_to(labels[0], labels.shape)), 2)
    np.testing.assert_allclose(means[:, -1], crossed[:, labelled].mean(axis=1), rtol=1e-5)
