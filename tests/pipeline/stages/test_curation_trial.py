"""A curation is tried on pairs that are surely wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from augment.filtering import LossScale
from pipeline.engine import Ok, Resources, WorkUnit
from pipeline.stages.curation_trial import (
    EXCHANGED,
    IMAGES,
    OWN,
    WITHOUT_LAYOUT,
    Believed,
    Trial,
    exchanged,
    trial_units,
)
from pipeline.stages.judging import SCALE, Curate
from pipeline.store import Sample


class Colour:
    """A judge that is sure of the class that the red level of a pixel names."""

    def losses(self, images: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
        return [np.where(labels == 255, 0, np.where(images[..., 0] == labels, 0.0, 9.0)).astype(np.float32)]


class Pairs:
    """Images of one class each; the first two are of one source."""

    def read(self, unit: WorkUnit) -> list[Sample]:
        return [
            Sample(
                key,
                np.full((2, 2, 3), number % 2, np.uint8),
                np.full((2, 2), number % 2, np.uint8),
                metadata={"source_key": f"s{number // 2}"},
            )
            for number, key in enumerate(unit.keys)
        ]


class PaintsOne:
    """Paints class 1, whatever is asked for."""

    batch_size = 2

    def setup(self) -> None: ...

    def process(self, _unit: WorkUnit, batch: list[Sample]) -> list[Ok]:
        return [Ok(Sample(pair.key, np.ones((2, 2, 3), np.uint8), pair.label)) for pair in batch]


def test_what_is_wrong_is_believed_as_little_as_curation_believes_of_it(tmp_path: Path) -> None:
    LossScale(("a", "b"), (1.0, 1.0), 0.9, 1.0, (1, 1)).save(tmp_path / SCALE)
    curate = Curate(Colour, str(tmp_path), 0.5, None, 0, Resources(), 8)  # type: ignore[arg-type]
    trial = Trial(curate, Pairs(), PaintsOne(), Pairs(), Resources(), 8)  # type: ignore[arg-type]
    trial.setup()
    keys = ("k0", "k1", "k2", "k3", "k4", "k5")
    found = {**trial.run(WorkUnit("a", keys)), **trial.run(WorkUnit("b", keys, {"k": 0, "variant": 0}))}
    assert found[OWN] == Believed(6, 1.0, 0)
    # Three further on is another source and another class for all but k2 with k5, k0 with k3: all differ in class.
    assert found[EXCHANGED] == Believed(6, 0.0, 6)
    assert found[WITHOUT_LAYOUT] == Believed(6, 0.5, 3)


def test_labels_are_exchanged_only_with_other_sources() -> None:
    samples = Pairs().read(WorkUnit("a", ("k0", "k1")))
    assert exchanged(samples) == []
    samples = Pairs().read(WorkUnit("a", ("k0", "k1", "k2", "k3")))
    assert [np.unique(pair.label).tolist() for pair in exchanged(samples)] == [[0], [1], [0], [1]]


def test_trial_is_of_a_bounded_number_of_images_of_all_sources() -> None:
    sources = {f"{source:03d}_k{k}": f"{source:03d}" for source in range(100) for k in (1, 5)}
    synthetic, painted = trial_units(sources, list(set(sources.values())))
    assert len(synthetic.keys) == len(painted.keys) == IMAGES
    assert len({sources[key] for key in synthetic.keys}) == IMAGES
    assert trial_units({}, []) == []
