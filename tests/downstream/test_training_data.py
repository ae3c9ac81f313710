"""What each arm trains on: never a held-out image, nested shares of the labels, predicted labels, rare classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augment.errors import UserError
from downstream.arms import parse_arm
from downstream.dataset import Part
from downstream.judge import Judge
from downstream.mixes import Mix
from downstream.options import ArmOptions, SegmenterTraining
from downstream.results import read_result
from downstream.tar_backend import StoreBackend, parse_member_path
from downstream.training import train
from downstream.training_data import Run, TrainingData
from pipeline.store import Manifest, Sample, SampleReader, Store
from pipeline.taxonomies import CAMVID

from .conftest import HEIGHT, WIDTH, scene

OPTIONS = SegmenterTraining(iterations=6, batch_size=4, decoder_channels=16)
RUN = Run(OPTIONS, (HEIGHT, WIDTH), 0, 0)
ARMS = ArmOptions(pseudo_confidence=0.1)
EXPRESSIONS = (
    "real",
    "real[augmented]",
    "real[rare]",
    "real[25%]",
    "synthetic",
    "synthetic[raw,k=5]",
    "synthetic[pseudo]",
    "synthetic[rare]",
    "real[25%]+synthetic[pseudo,100%]",
    "real+0.5*synthetic[k=1]+0.5*synthetic[k=5,raw]",
    "synthetic@40% > real+synthetic[augmented]",
)


@pytest.fixture(scope="module")
def teacher(real_store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a segmenter trained on real samples."""
    folder = tmp_path_factory.mktemp("teacher") / "run"
    torch.set_num_threads(1)
    train("real", real_store, None, OPTIONS, 0, folder)
    return folder


def data_of(expression: str, real: str, synthetic: str, teacher: Path | None = None) -> TrainingData:
    return TrainingData.of(expression, ARMS, real, synthetic, synthetic, teacher, "train")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_nothing_is_learned_of_images_held_back(
    real_store: str, synthetic_store: str, teacher: Path, tmp_path: Path, expression: str
) -> None:
    keys = Part(real_store, "train").rows()["key"].to_pylist()
    held_back = frozenset(keys[::2])
    data = replace(data_of(expression, real_store, synthetic_store, teacher), held_back=held_back)
    for part in data.parts(tmp_path).values():
        rows = part.rows()
        column = "key" if part.store_url == real_store else "source_key"
        assert {*rows[column].to_pylist()} <= {*keys} - held_back


def keys_of(data: TrainingData, labels: Path) -> list[set[str]]:
    return [set(part.rows()["key"].to_pylist()) for part in data.parts(labels).values()]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_no_training_reads_a_held_out_image_or_its_label(
    expression: str,
    real_store: str,
    synthetic_store: str,
    teacher: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []
    whole, one = SampleReader.read, StoreBackend.get

    def noting_whole(reader: SampleReader, key: str) -> Any:
        read.append(key)
        return whole(reader, key)

    def noting_one(backend: StoreBackend, path: str) -> bytes:
        read.append(parse_member_path(path)[1])
        return one(backend, path)

    monkeypatch.setattr(SampleReader, "read", noting_whole)
    monkeypatch.setattr(StoreBackend, "get", noting_one)
    data = data_of(expression, real_store, synthetic_store, teacher)
    parts = data.prepare(tmp_path / "labels", "cpu")
    batches = list(data.loader(parts, RUN))
    assert len(batches) == OPTIONS.iterations
    assert read and not [key for key in read if key.startswith("val")]


def test_a_marked_held_out_image_reaches_the_evaluation_and_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marker is one colour that no other image has, so that its pixels are found wherever they are read."""
    url = str(tmp_path / "marked")
    store = Store.create(url, Manifest("real", CAMVID.name, {"height": HEIGHT, "width": WIDTH}))
    for split, seeds in (("train", range(8)), ("val", range(100, 102))):
        samples = [Sample(f"{split}-{seed}", *scene(seed), metadata={"split": split}) for seed in seeds]
        if split == "val":
            samples[0] = replace(samples[0], image=np.full_like(samples[0].image, (1, 254, 3)))
        store.write_shard(f"{split}-000000", samples)
    from mmseg.models import EncoderDecoder

    seen: dict[bool, int] = {True: 0, False: 0}
    prepare = EncoderDecoder.extract_feat

    def noting(model: Any, inputs: torch.Tensor) -> Any:
        colour = (torch.tensor([1.0, 254.0, 3.0]) - model.data_preprocessor.mean.flatten()) / (
            model.data_preprocessor.std.flatten()
        )
        seen[model.training] += int(((inputs - colour[:, None, None]).abs() < 1e-3).all(dim=1).sum())
        return prepare(model, inputs)

    monkeypatch.setattr(EncoderDecoder, "extract_feat", noting)
    options = OPTIONS.model_copy(update={"photometric": False, "scale_range": (1.0, 1.0)})
    train("real[rare]", url, None, options, 0, tmp_path / "run")
    assert seen == {True: 0, False: HEIGHT * WIDTH}


def test_a_larger_share_of_the_labels_contains_a_smaller_one(real_store: str, synthetic_store: str) -> None:
    shares = [keys_of(data_of(f"real[{percent}%]", real_store, synthetic_store), Path())[0] for percent in (5, 25, 50)]
    everything = keys_of(data_of("real", real_store, synthetic_store), Path())[0]
    assert [len(keys) for keys in (*shares, everything)] == [1, 6, 12, 24]
    for smaller, larger in zip(shares, [*shares[1:], everything], strict=True):
        assert smaller < larger


def test_synthetic_images_of_a_share_are_made_from_its_images(
    real_store: str, synthetic_store: str, teacher: Path
) -> None:
    expression = "real[50%]+synthetic[k=5]+synthetic[pseudo,100%]"
    real, painted, unlabelled = keys_of(data_of(expression, real_store, synthetic_store, teacher), Path("labels"))
    sources = {key.split("_")[0] for key in painted}
    assert sources == real & {f"train-{seed}" for seed in range(6)} and sources
    assert all("_k05_" in key for key in painted)
    assert {key.split("_")[0] for key in unlabelled} == {f"train-{seed}" for seed in range(6)}


def test_filters_that_leave_nothing_and_unknown_columns_are_refused(real_store: str, synthetic_store: str) -> None:
    with pytest.raises(UserError, match=r"no labelled samples of split 'train', k in \['7'\]"):
        keys_of(data_of("synthetic[k=7]", real_store, synthetic_store), Path())
    with pytest.raises(UserError, match="samples have no 'varient' to select by; they have 'variant'"):
        keys_of(data_of("synthetic[varient=1]", real_store, synthetic_store), Path())


def test_stores_that_an_arm_needs_are_asked_for(real_store: str, synthetic_store: str) -> None:
    for expression, what in (("synthetic", "synthetic store"), ("synthetic[raw]", "raw images")):
        with pytest.raises(UserError, match=f"no .*{what} is given"):
            TrainingData.of(expression, ARMS, real_store, None, None, None, "train")
    with pytest.raises(UserError, match="no segmenter to predict labels is given"):
        TrainingData.of("synthetic[pseudo]", ARMS, real_store, None, synthetic_store, None, "train")
    with pytest.raises(UserError, match="did you mean 'real'"):
        TrainingData.of("rael", ARMS, real_store, None, None, None, "train")


def test_predicted_labels_are_those_of_the_teacher_or_ignored(
    real_store: str, synthetic_store: str, teacher: Path, tmp_path: Path
) -> None:
    judge, images = Judge.load(teacher), SampleReader(Store.open(synthetic_store))
    all_images = np.stack([sample.image for sample in images.samples("train") if sample.image is not None])
    confidence = float(torch.softmax(judge.logits(all_images), dim=1).max(dim=1).values.median())
    options = ArmOptions(pseudo_confidence=confidence)
    data = TrainingData.of("synthetic[pseudo]", options, real_store, None, synthetic_store, teacher, "train")
    (part,) = data.prepare(tmp_path / "labels", "cpu").values()
    assert part.labels_url is not None
    predicted = SampleReader(Store.open(part.labels_url))
    assert set(predicted.keys) == set(part.rows()["key"].to_pylist())
    shares: list[float] = []
    for key in predicted.keys:
        image, found = images.read(key).image, predicted.read(key)
        assert image is not None and found.label is not None
        scores = torch.softmax(judge.logits(image[None]), dim=1)[0]
        sure = scores.max(dim=0).values.numpy() >= confidence
        np.testing.assert_array_equal(found.label[sure], judge.predict(image[None])[0][sure])
        assert (found.label[~sure] == 255).all()
        shares.append(sure.mean())
        assert found.metadata["confident"] == pytest.approx(sure.mean(), abs=1e-6)
    assert 0.3 < np.mean(shares) < 0.7


def test_a_confidence_that_no_pixel_reaches_is_an_error(
    real_store: str, synthetic_store: str, teacher: Path, tmp_path: Path
) -> None:
    options = ArmOptions(pseudo_confidence=0.9999999)
    data = TrainingData.of("synthetic[pseudo]", options, real_store, None, synthetic_store, teacher, "train")
    with pytest.raises(UserError, match="pseudo_confidence=1: give a lower one, or train the judge for longer"):
        data.prepare(tmp_path / "labels", "cpu")


def test_an_augmented_arm_sees_the_same_images_at_the_same_positions(real_store: str, synthetic_store: str) -> None:
    def batches(expression: str) -> Iterator[Any]:
        data = data_of(expression, real_store, synthetic_store)
        for batch in data.loader(data.prepare(Path(), "cpu"), RUN):
            yield from zip(batch["data_samples"], batch["inputs"], strict=True)

    pairs = list(zip(batches("real"), batches("real[augmented]"), strict=True))
    assert all(plain[0].img_path == changed[0].img_path for plain, changed in pairs)
    differ = [not torch.equal(plain[1], changed[1]) for plain, changed in pairs]
    assert np.mean(differ) > 0.5
    again = list(batches("real[augmented]"))
    assert all(torch.equal(one[1][1], two[1]) for one, two in zip(pairs, again, strict=True))


def test_only_the_augmented_term_is_augmented(real_store: str, synthetic_store: str) -> None:
    def inputs(expression: str) -> dict[tuple[int, str], bytes]:
        data = data_of(expression, real_store, synthetic_store)
        found = {}
        for number, batch in enumerate(data.loader(data.prepare(Path(), "cpu"), RUN)):
            for place, (sample, image) in enumerate(zip(batch["data_samples"], batch["inputs"], strict=True)):
                found[number * 4 + place, sample.img_path] = image.numpy().tobytes()
        return found

    plain, changed = inputs("real+synthetic"), inputs("real[augmented]+synthetic")
    assert plain.keys() == changed.keys()
    differ = Counter("synthetic" in path for (_, path), image in plain.items() if changed[_, path] != image)
    assert differ[True] == 0 and differ[False] > 0


def test_every_arm_is_trained_and_resumed_to_the_same_bits(
    real_store: str, synthetic_store: str, teacher: Path, tmp_path: Path
) -> None:
    expression = "synthetic[pseudo]@40% > real[augmented,50%]+0.3*synthetic[raw]+0.7*synthetic[rare]"
    options = OPTIONS.model_copy(update={"checkpoint_interval": 2})

    class Killed(BaseException):
        pass

    def kill(step: Any) -> None:
        if step.step == 5:
            raise Killed

    stores = {"raw_store": synthetic_store, "teacher": teacher, "arms": ARMS}
    whole = train(expression, real_store, synthetic_store, options, 0, tmp_path / "whole", **stores)
    with pytest.raises(Killed):
        train(expression, real_store, synthetic_store, options, 0, tmp_path / "killed", kill, **stores)
    resumed = train(expression, real_store, synthetic_store, options, 0, tmp_path / "killed", **stores)
    assert replace(resumed, seconds=0) == replace(whole, seconds=0)
    weights = [(tmp_path / name / "segmenter.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]
    assert not (tmp_path / "whole" / "pseudo-labels").exists()
    result = read_result(tmp_path / "whole")
    assert result is not None and result.mix.startswith("synthetic[pseudo]@40% > real[50%,augmented]")
    recorded = result.inputs["mix"]
    assert (recorded["real"], recorded["synthetic"]) == (pytest.approx(0.3), pytest.approx(0.7))
    assert recorded["pseudo_confidence"] == 0.1 and recorded["rare_temperature"] == 0.01 and recorded["augmentation"]


def test_an_expression_is_the_same_training_as_its_mix(real_store: str, synthetic_store: str) -> None:
    mix = TrainingData.of(Mix("real+0.5*synthetic", 1.0, 0.5), ARMS, real_store, synthetic_store, None, None, "train")
    text = TrainingData.of("real + 0.5*synthetic", ARMS, real_store, synthetic_store, None, None, "train")
    assert mix.inputs() == text.inputs() and mix.arm == text.arm
    assert text.inputs()["mix"] == {"real": 1.0, "synthetic": 0.5, "where": {}}
    alone = TrainingData.of("real", ARMS, real_store, None, None, None, "train").inputs()["mix"]
    assert isinstance(alone, dict) and isinstance(alone["synthetic"], int)
    assert [term.weight for term in mix.arm.terms] == [1, Fraction(1, 2)]
    assert Part(real_store, "train").rows().num_rows == 24


@pytest.mark.parametrize(("written", "kept"), [("3", {3.0}), ("4.5", {4.5}), ("3|4.5", {3.0, 4.5})])
def test_a_filter_finds_numbers_as_they_are_written(tmp_path: Path, written: str, kept: set[float]) -> None:
    store = Store.create(str(tmp_path / "synthetic"), Manifest("synthetic", CAMVID.name, {"height": 8, "width": 8}))
    for number, scale in enumerate((3.0, 4.5, 1.0)):
        metadata = {"split": "train", "source_key": "a", "guidance_scale": scale}
        image, label = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
        store.write_shard(f"train-{number:06d}", [Sample(f"a{number}", image, label, metadata=metadata)])
    (term,) = parse_arm(f"synthetic[guidance_scale={written}]").terms
    rows = Part(store.url, "train", {column: list(values) for column, values in term.where}).rows()
    assert set(rows["guidance_scale"].to_pylist()) == kept
