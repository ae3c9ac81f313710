"""What an arm trains on: parts of stores, what each of their samples goes through, and their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import pseudo_collate
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from augment.errors import UserError
from downstream.albu import SeededAlbu
from downstream.arms import AUGMENTED, PSEUDO, RARE, RAW, REAL, SYNTHETIC, Arm, Term, parse_arm
from downstream.dataset import LABEL, LoadLabel, Part, StoreDataset, label_taxonomy, require_learnable, store_digest
from downstream.judge import WEIGHTS
from downstream.mixes import Mix, MixSampler, RareClasses, SampledPart, SampledPhase, sampled_phase
from downstream.options import ArmOptions, SegmenterTraining
from downstream.pseudo_labels import write_pseudo_labels
from pipeline.datasets.sampling import fraction_sample
from pipeline.store import JSON, SampleReader, Store, file_digest, fingerprint


@dataclass(frozen=True)
class Run:
    """What decides the batches of a training, beside its data: `done` iterations are not made again."""

    options: SegmenterTraining
    crop: tuple[int, int]
    seed: int
    done: int


@dataclass(frozen=True)
class TrainingData:
    """The data of one arm.

    Attributes:
        name: of the arm.
        arm: what it takes.
        options: what the words in its brackets mean.
        real: URL of the real store.
        curated: URL of the curated store; None if the arm needs none.
        raw: URL of the synthetic store, for `raw` and `pseudo`.
        teacher: folder of the segmenter that predicts the labels of `pseudo`.
        split: split of all stores to train on.
        weights: of real and synthetic samples, as they are recorded.
        where: filters of a `Mix`, as they are recorded.
        held_back: keys of real images that are not trained on.
    """

    name: str
    arm: Arm
    options: ArmOptions
    real: str
    curated: str | None
    raw: str | None
    teacher: Path | None
    split: str
    weights: tuple[float, float]
    where: Mapping[str, JSON]
    held_back: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        mix: Mix | str,
        options: ArmOptions,
        real: str,
        curated: str | None,
        raw: str | None,
        teacher: Path | None,
        split: str,
    ) -> TrainingData:
        """The data of a mix or an expression; UserError if it is no mix, or needs a store that is not given."""
        if isinstance(mix, Mix):
            weights, where = (mix.real, mix.synthetic), {column: list(values) for column, values in mix.where.items()}
            data = cls(mix.name, mix.arm, options, real, curated, raw, teacher, split, weights, where)
        else:
            try:
                arm = parse_arm(mix)
            except ValueError as error:
                raise UserError(str(error)) from error
            # An absent source has the integer 0, as the fingerprints of earlier results have it.
            real_weight, synthetic_weight = (float(arm.weight_of(source)) or 0 for source in (REAL, SYNTHETIC))
            name = mix if arm.is_simple else str(arm)
            data = cls(name, arm, options, real, curated, raw, teacher, split, (real_weight, synthetic_weight), {})
        for needed, given, what in (
            (data.arm.uses_curated, curated, "synthetic store"),
            (data.arm.uses_raw, raw, "store of raw images"),
            (data.arm.uses(PSEUDO), teacher, "segmenter to predict labels"),
        ):
            if needed and given is None:
                raise UserError(f"mix {data.name!r} has a synthetic part, but no {what} is given")
        return data

    def inputs(self) -> dict[str, JSON]:
        """All that the data depends on, but for the split."""
        real, synthetic = self.weights
        mix: dict[str, JSON] = {"real": real, "synthetic": synthetic, "where": dict(self.where)}
        more: dict[str, JSON] = {}
        if not self.arm.is_simple and not self.where:
            mix |= {"expression": str(self.arm), **self.options.used_by(self.arm)}
            if self.arm.uses_raw:
                assert self.raw is not None
                more["raw"] = store_digest(self.raw)
            if self.arm.uses(PSEUDO):
                assert self.teacher is not None
                more["teacher"] = file_digest(self.teacher / WEIGHTS)
        if self.held_back:
            more["held_back"] = fingerprint({"keys": sorted(self.held_back)})
        curated = store_digest(self.curated) if self.curated is not None and self.arm.uses_curated else None
        return {"mix": mix, "real": store_digest(self.real), "synthetic": curated, **more}

    def parts(self, labels: Path) -> dict[Term, Part]:
        """The samples of each term; the labels that a segmenter predicts are in the folder `labels`."""
        return {term: self._part(term, labels / f"{number}") for number, term in enumerate(self.arm.terms)}

    def _part(self, term: Term, labels: Path) -> Part:
        predicted = PSEUDO in term.flags
        own = self.real if term.source == REAL else self.raw if term.flags & {RAW, PSEUDO} else self.curated
        assert own is not None
        return Part(
            own,
            self.split,
            {column: list(values) for column, values in term.where},
            self._sources(self.arm.percent_of(term)),
            str(labels) if predicted else None,
            AUGMENTED in term.flags,
        )

    def _sources(self, percent: Fraction | None) -> frozenset[str] | None:
        """Keys of the labelled training images that a share of the labels is, but for those held back; None for all.

        They are those with the lowest digests of their keys, so that a larger share contains a smaller one.
        """
        if percent is None and not self.held_back:
            return None
        keys = frozenset(Part(self.real, self.split).rows()["key"].to_pylist()) - self.held_back
        return keys if percent is None else fraction_sample(keys, float(percent) / 100)

    def prepare(self, labels: Path, device: str) -> dict[Term, Part]:
        """Predict the labels that are missing, and check that the labels of each part can be learned."""
        parts = self.parts(labels)
        for term, part in parts.items():
            if PSEUDO in term.flags:
                assert self.teacher is not None
                write_pseudo_labels(part, self.teacher, self.options.pseudo_confidence, device)
            require_learnable(part)
        return parts

    def sampler(self, ranges: Mapping[Term, range], rare: Mapping[Term, RareClasses], run: Run) -> MixSampler:
        """The order of the samples, from the first iteration that is left."""
        iterations, size = run.options.iterations, run.options.batch_size
        phases: list[SampledPhase] = []
        for phase, start in zip(self.arm.phases, self.arm.bounds(iterations), strict=False):
            names = part_names(phase.terms)
            sampled = [
                SampledPart(name, ranges[term], term.weight, rare.get(term))
                for name, term in zip(names, phase.terms, strict=True)
            ]
            phases.append(sampled_phase(start * size, sampled))
        return MixSampler(phases, run.seed, range(run.done * size, iterations * size))

    def loader(self, parts: Mapping[Term, Part], run: Run) -> DataLoader:
        """The batches of a training, from the first iteration that is left."""
        ignore_index = label_taxonomy(Store.open(self.real)).ignore_index
        dataset = StoreDataset(tuple(parts.values()), self.transforms(run.options, run.crop, ignore_index))
        ranges = dict(zip(parts, dataset.ranges, strict=True))
        temperature = self.options.rare_temperature
        rare = {t: RareClasses(class_pixels(part), temperature) for t, part in parts.items() if RARE in t.flags}
        sampler = self.sampler(ranges, rare, run)
        return loader_of(dataset, run.options.batch_size, run.options.num_workers, sampler)

    def transforms(
        self, training: SegmenterTraining, crop: tuple[int, int], ignore_index: int
    ) -> Sequence[Mapping[str, Any]]:
        """What each sample goes through; augmented ones go through more, after what all go through."""
        height, width = crop
        more = {"type": SeededAlbu, "transforms": list(self.options.transforms), "ignore_index": ignore_index}
        return [
            {"type": "LoadImageFromFile"},
            {"type": LoadLabel},
            {
                "type": "RandomResize",
                "scale": (width, height),
                "ratio_range": training.scale_range,
                "keep_ratio": True,
            },
            {"type": "RandomCrop", "crop_size": crop, "cat_max_ratio": 0.75, "ignore_index": ignore_index},
            {"type": "RandomFlip", "prob": training.flip},
            *([{"type": "PhotoMetricDistortion"}] if training.photometric else []),
            *([more] if self.arm.uses(AUGMENTED) else []),
            {"type": "PackSegInputs"},
        ]


def part_names(terms: Sequence[Term]) -> list[str]:
    """A name for each term: its source, and a number where another term has the same source.

    It decides the order, so that mixes which differ in how they augment see the same images at the same positions.
    """
    names: list[str] = []
    for term in terms:
        count = sum(name.partition("#")[0] == term.source for name in names)
        names.append(f"{term.source}#{count}" if count else term.source)
    return names


def class_pixels(part: Part) -> NDArray[np.int64]:
    """Pixels of each class in each label of a part, int64 [N, C], in the order of its rows."""
    store = Store.open(part.store_url)
    reader, classes = SampleReader(store, ("json", LABEL)), len(label_taxonomy(store).classes)
    counts = []
    for key in part.rows()["key"].to_pylist():
        label = reader.read(key).label
        assert label is not None
        counts.append(np.bincount(label[label < classes], minlength=classes))
    return np.stack(counts).astype(np.int64)


def loader_of(dataset: StoreDataset, batch_size: int, num_workers: int, sampler: MixSampler | None) -> DataLoader:
    """Batches of a dataset; without a sampler, in its order."""
    return DataLoader(
        dataset, batch_size=batch_size, sampler=sampler, num_workers=num_workers, collate_fn=pseudo_collate
    )
