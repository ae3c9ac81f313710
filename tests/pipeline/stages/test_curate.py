"""Curation ignores what the judge does not believe, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from augment.errors import NotFinite
from augment.filtering import LossHistogram, LossScale
from pipeline.engine import Dropped, Failed, Ok, Resources, WorkUnit
from pipeline.stages.curate import curation_units
from pipeline.stages.judging import SCALE, Curate
from pipeline.stages.loss_counts import CountLosses, OtherLabels
from pipeline.stages.reading import StoreSource
from pipeline.store import Sample, Store
from tests.pipeline.store.samples import FREE


class RedMeansDoubt:
    """A judge whose loss at a pixel is the pixel's red level in tenths of a nat."""

    def loss(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Losses of a batch; 0 where the label is ignored."""
        return np.where(labels == 255, 0, images[..., 0] / 10).astype(np.float32)

    def losses(self, images: NDArray[np.uint8], *labellings: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Losses of a batch against each of several labels."""
        return [self.loss(images, labels) for labels in labellings]

    def compare(
        self, images: NDArray[np.uint8], labels: NDArray[np.uint8], others: NDArray[np.uint8], _cap: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Losses of a batch, and of the other labels: a label of class n fits with a loss of n tenths."""
        means = np.broadcast_to([other.mean() / 10 for other in others], (len(images), len(others)))
        return self.loss(images, labels), means.astype(np.float32)


@pytest.fixture
def stage(tmp_path: Path) -> Curate:
    LossScale(("road", "sky"), (1.0, math.inf), 0.95, 1.25, (10, 0)).save(tmp_path / SCALE)
    made = Curate(RedMeansDoubt, str(tmp_path), 0.5, None, 0, Resources(), 8)
    made.setup()
    return made


def sample(red: list[list[int]], label: list[list[int]]) -> Sample:
    image = np.zeros((len(red), len(red[0]), 3), np.uint8)
    image[..., 0] = red
    return Sample("a_k05_v00", image, np.array(label, np.uint8), metadata={"k": 5, "split": "train"})


NO_OTHERS = OtherLabels(StoreSource("nowhere", ("label",)), ())
UNIT = WorkUnit("train-k05-v00-000000", ("a_k05_v00",))


def test_doubted_pixels_are_ignored_and_the_rest_stays(stage: Curate) -> None:
    given = sample([[0, 10, 11, 255]], [[0, 0, 0, 1]])
    (outcome,) = stage.process(UNIT, [given])
    assert isinstance(outcome, Ok)
    np.testing.assert_array_equal(outcome.sample.label, [[0, 0, 255, 1]])
    np.testing.assert_array_equal(outcome.sample.image, given.image)
    assert outcome.sample.metadata == {"k": 5, "split": "train", "reliable": 0.75}


def test_a_label_without_any_class_is_dropped_for_that_reason(stage: Curate) -> None:
    dropped = [stage.process(UNIT, [sample([[0, 99]], label)])[0] for label in ([[255, 255]], [[255, 0]])]
    assert [outcome.reason.split(":")[0] for outcome in dropped if isinstance(outcome, Dropped)] == [
        "unlabelled",
        "unreliable",
    ]


def test_labels_of_sixteen_bits_are_ignored_by_their_own_index(tmp_path: Path) -> None:
    scale = LossScale(tuple(map(str, range(301))), (math.inf,) * 300 + (1.0,), 0.95, 1.25, (1,) * 301)
    scale.save(tmp_path / SCALE)
    made = Curate(RedMeansDoubt, str(tmp_path), 0.1, None, 0, Resources(), 8, ignore_index=65535)
    made.setup()
    wide = replace(sample([[0, 99, 0, 99]], [[0, 0, 0, 0]]), label=np.array([[300, 300, 65535, 255]], np.uint16))
    (outcome,) = made.process(UNIT, [wide])
    assert isinstance(outcome, Ok) and outcome.sample.label is not None
    assert outcome.sample.label.dtype == np.uint16
    np.testing.assert_array_equal(outcome.sample.label, [[300, 65535, 65535, 255]])


def test_ignored_pixels_of_sixteen_bits_are_not_counted() -> None:
    wide = replace(sample([[0, 20, 99]], [[0, 0, 0]]), label=np.array([[300, 255, 65535]], np.uint16))

    class One:
        def read(self, _unit: WorkUnit) -> list[Sample]:
            return [wide]

    source: StoreSource = One()  # type: ignore[assignment]
    counting = CountLosses(source, RedMeansDoubt, 301, NO_OTHERS, Resources(), 8, ignore_index=65535)
    counting.setup()
    counts = counting.run(UNIT)[0].counts.sum(axis=1)
    assert {int(number): int(counts[number]) for number in np.flatnonzero(counts)} == {255: 1, 300: 1}


def test_image_that_is_mostly_doubted_is_dropped_with_a_reason(stage: Curate) -> None:
    kept, dropped = stage.process(UNIT, [sample([[0, 0, 99]], [[0, 0, 0]]), sample([[0, 99, 99]], [[0, 0, 0]])])
    assert isinstance(kept, Ok)
    assert isinstance(dropped, Dropped)
    assert dropped.reason.startswith("unreliable: 0.33")


def test_unlabelled_sample_is_an_error_of_that_sample(stage: Curate) -> None:
    with pytest.raises(ValueError, match="unlabelled"):
        stage.process(UNIT, [Sample("a", np.zeros((2, 2, 3), np.uint8))])


def test_held_out_data_is_not_curated() -> None:
    units = curation_units({"train-k05-v00-000000": ("a",), "val-k05-v00-000000": ("b",)})
    assert [unit.keys for unit in units] == [("a",)]


def test_loss_that_is_nan_is_no_doubt_but_a_failure(stage: Curate) -> None:
    class Broken(RedMeansDoubt):
        def loss(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float32]:
            losses = super().loss(images, labels)
            losses[0, 0, 0] = np.nan
            return losses

    stage._judge = Broken()
    (outcome,) = stage.process(UNIT, [sample([[0, 1]], [[0, 0]])])
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("not finite: ")
    (ignored,) = stage.process(UNIT, [sample([[0, 1]], [[255, 0]])])
    assert isinstance(ignored, Ok)


def test_scale_is_not_fitted_on_losses_that_are_nan() -> None:
    with pytest.raises(NotFinite, match="--redo judge"):
        LossHistogram.of(np.array([np.nan, 1.0]), np.array([0, 1]), 2)


def test_histogram_is_the_same_where_memory_holds_one_image_alone(tmp_path: Path) -> None:
    class OneAlone(RedMeansDoubt):
        def loss(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float32]:
            if len(images) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().loss(images, labels)

    store = Store.create(str(tmp_path / "store"), FREE)
    pairs = [replace(sample([[number, 9]], [[0, 1]]), key=f"k{number}") for number in range(5)]
    store.write_shard("train-000000", pairs)
    unit = WorkUnit("train-000000", tuple(pair.key for pair in pairs))
    counts = []
    for judge in (RedMeansDoubt, OneAlone):
        others = OtherLabels.of(store.url, unit.keys, 255)
        task = CountLosses(StoreSource(store.url, ("image", "label")), judge, 2, others, Resources(), 4)
        task.setup()
        counts.append(np.stack([histogram.counts for histogram in task.run(unit)]))
    np.testing.assert_array_equal(*counts)


@pytest.fixture
def others(tmp_path: Path) -> OtherLabels:
    """Labels of three images, whose mean losses are 0, 0.1 and 0.2."""
    store = Store.create(str(tmp_path / "real"), FREE)
    pairs = [replace(sample([[0, 0]], [[number, number]]), key=f"real{number}") for number in range(3)]
    store.write_shard("train-000000", pairs)
    return OtherLabels.of(store.url, [pair.key for pair in pairs], 255)


def test_image_whose_label_fits_no_better_than_those_of_others_is_dropped(stage: Curate, others: OtherLabels) -> None:
    compared = replace(stage, others=others, better_than=0.5)
    compared.setup()
    # The own losses are 0.05, 0.15 and 0.25 nats.
    outcomes = [compared.process(UNIT, [sample([[red, red + 1]], [[0, 0]])])[0] for red in (0, 1, 2)]
    assert [type(outcome) for outcome in outcomes] == [Ok, Dropped, Dropped]
    assert isinstance(outcomes[0], Ok) and outcomes[0].sample.metadata["better_than"] == pytest.approx(2 / 3, abs=1e-4)
    assert isinstance(outcomes[1], Dropped) and outcomes[1].reason.startswith(
        "misfit: its label fits it better than 0.33"
    )


def test_label_of_its_own_source_is_no_other_label(stage: Curate, others: OtherLabels) -> None:
    compared = replace(stage, others=others, better_than=0.6)
    compared.setup()
    pair = sample([[1, 2]], [[0, 0]])
    of_source = replace(pair, metadata={**pair.metadata, "source_key": "real0"})
    # Worse than the label of real1, better than that of real2.
    [verdict] = compared.verdicts([of_source])
    assert verdict is not None and verdict.better_than == 0.5


def test_wrong_labels_are_counted_only_where_they_differ(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "real"), FREE)
    labels = ([[0, 0, 255]], [[0, 1, 1]])
    pairs = [replace(sample([[10, 20, 30]], label), key=f"k{number}") for number, label in enumerate(labels)]
    store.write_shard("train-000000", pairs)
    keys = tuple(pair.key for pair in pairs)
    source = StoreSource(store.url, ("image", "label"))
    task = CountLosses(source, RedMeansDoubt, 2, OtherLabels.of(store.url, keys, 255), Resources(), 4)
    task.setup()
    right, wrong = task.run(WorkUnit("train-000000", keys))
    assert right.counts.sum(axis=1).tolist() == [3, 2]
    assert wrong.counts.sum(axis=1).tolist() == [1, 1]
