"""Alignment and diversity of synthetic images, by number of layout components."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from augment.errors import UserError
from augment.measures.copies import RESTORED
from augment.metrics import confusion_matrix, mean_iou, pairwise_difference
from downstream.dataset import Part, label_taxonomy
from downstream.judge import Judge
from downstream.measured_images import Encoders, Images, MeasuredImages, shuffled
from downstream.measures import FIELDS, LEAST_SOURCES, TrainingImages, closest_pairs, measures_of
from pipeline.store import Sample, SampleReader, Store, stack_pairs

T = TypeVar("T")
# Images uint8 [H, W, 3] after the autoencoder of the base: copies that a model has made look like them. Raises
# UserError where it cannot be loaded.
Restore: TypeAlias = Callable[[Images], list[NDArray[np.uint8]]]
_JUDGED = ("judge_miou", "judge_miou_on_real", "alignment")
_SECOND = ("second_judge_miou", "second_judge_miou_on_real", "second_alignment")
SCHEMA = pa.schema(
    [
        *((name, pa.int64()) for name in ("k", "images", "sources")),
        *((name, pa.float64()) for name in (*_JUDGED, "diversity", *_SECOND)),
        *FIELDS,
    ]
)


@dataclass(frozen=True)
class Measuring:
    """What is measured beside alignment and the difference of pixels.

    Attributes:
        encoders: the models.
        images: sources of the split to measure, at most.
        train_split: split of the real store that copies are searched in.
        train_images: images of it, at most; 0 searches for no copies.
        restore: the autoencoder of the base; see `Restore`. None has none.
        closest: the painted images nearest to a training image are added here; see `closest_pairs`.
    """

    encoders: Encoders
    images: int
    train_split: str
    train_images: int
    restore: Restore | None = None
    closest: list[dict[str, Any]] = field(default_factory=list)


def evaluate(
    judge: Judge | None,
    real_store: str,
    synthetic_store: str,
    split: str,
    batch_size: int = 16,
    *,
    second: Judge | None = None,
    measuring: Measuring | None = None,
) -> pa.Table:
    """Measure the synthetic samples of a split, preferably one that neither judge nor adapter was trained on.

    Args:
        judge: a segmenter trained on real samples of another split; None if it is unfit.
        real_store: URL of the real store.
        synthetic_store: URL of the synthetic store, before curation.
        split: split to measure.
        batch_size: images per forward pass of the judge.
        second: another such segmenter of a different architecture.
        measuring: what else to measure; None leaves its columns null.

    Returns:
        A row for each k, ascending: k, images, sources; judge_miou, the judge's mIoU on synthetic images
        against their sources' labels; judge_miou_on_real, on the source images themselves; alignment, the
        first divided by the second (all three null without a judge, or without labelled pixels); diversity, the
        mean difference of pixels between two variants of one source, 0..1 of the value range (null with one variant);
        the three by the second judge; and the measures that docs/measures.md describes.

    Raises:
        UserError: a store has no labelled samples of the split, or its classes are not those of the judge.
    """
    for segmenter in filter(None, (judge, second)):
        for url in (real_store, synthetic_store):
            require_classes(segmenter, Store.open(url))
    rows = Part(synthetic_store, split).rows().select(["key", "k", "source_key"]).to_pylist()
    # The real store must hold all sources.
    known = set(Part(real_store, split).rows()["key"].to_pylist())
    if missing := sorted({row["source_key"] for row in rows} - known):
        raise UserError(f"{real_store} lacks {missing[0]!r}, a source of {synthetic_store}")
    real, synthetic = (SampleReader(Store.open(url)) for url in (real_store, synthetic_store))

    judges = ((judge, _JUDGED), (second, _SECOND))
    on_real: dict[tuple[str, ...], list[float | None]] = {}
    measures = {} if measuring is None else _measures(measuring, rows, real, synthetic)
    table = []
    for k in sorted({row["k"] for row in rows}):
        of_k = [row for row in rows if row["k"] == k]
        sources = tuple(sorted({row["source_key"] for row in of_k}))
        if sources not in on_real:
            on_real[sources] = [_judged(one, map(real.read, sources), batch_size) for one, _ in judges]
        scores: dict[str, float | None] = {}
        for (one, names), whole in zip(judges, on_real[sources], strict=True):
            miou = _judged(one, (synthetic.read(row["key"]) for row in of_k), batch_size)
            scores |= zip(names, (miou, whole, _ratio(miou, whole)), strict=True)
        table.append(
            {
                "k": k,
                "images": len(of_k),
                "sources": len(sources),
                "diversity": _diversity(synthetic, of_k),
                **scores,
                **measures.get(k, {}),
            }
        )
    return pa.Table.from_pylist(table, schema=SCHEMA)


def require_classes(judge: Judge, store: Store) -> None:
    """Raise UserError if the classes of a judge and of a store's labels differ."""
    taxonomy = label_taxonomy(store)
    if taxonomy.classes != judge.classes:
        raise UserError(
            f"{store.url} has the {len(taxonomy)} classes of {taxonomy.name} but the judge knows {len(judge.classes)} "
            "others: give both runs the same dataset.taxonomy"
        )


def judged_miou(judge: Judge, samples: Iterable[Sample], batch_size: int) -> float | None:
    """Mean IoU (0..1) of a judge's predictions against the labels of samples, over all pixels; None without labels.

    Only classes in the labels count. Real images and those painted on their layouts share these, so both means are over
    the same classes.
    """
    num_classes = len(judge.classes)
    confusion = np.zeros((num_classes, num_classes), np.int64)
    for batch in batched(samples, batch_size):
        images, labels = stack_pairs(batch)
        confusion += confusion_matrix(labels, judge.predict(images), num_classes, judge.ignore_index)
    labelled = confusion.sum(axis=1) > 0
    return float(mean_iou(confusion)[1][labelled].mean()) if labelled.any() else None


def _judged(judge: Judge | None, samples: Iterable[Sample], batch_size: int) -> float | None:
    return None if judge is None else judged_miou(judge, samples, batch_size)


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Split items into lists of up to `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _diversity(reader: SampleReader, rows: Sequence[dict[str, str]]) -> float | None:
    variants: dict[str, list[str]] = {}
    for row in rows:
        variants.setdefault(row["source_key"], []).append(row["key"])
    differences = []
    for keys in variants.values():
        images = [sample.image for key in keys if (sample := reader.read(key)).image is not None]
        if len(images) > 1:
            differences.append(pairwise_difference(np.stack([image for image in images if image is not None])))
    return float(np.mean(differences)) if differences else None


def _measures(
    measuring: Measuring, rows: Sequence[Mapping[str, Any]], real: SampleReader, synthetic: SampleReader
) -> dict[int, dict[str, Any]]:
    """The measures of each k, on the sources that have an image at every k."""
    keys: dict[int, dict[str, list[str]]] = {}
    for row in sorted(rows, key=lambda row: (row["k"], row["key"])):
        keys.setdefault(row["k"], {}).setdefault(row["source_key"], []).append(row["key"])
    complete = set.intersection(*(set(of_k) for of_k in keys.values()))
    if not complete:
        return {k: {"not_measured": ["all measures: no source has an image at every k"]} for k in keys}
    images = MeasuredImages(measuring.encoders)
    for source in shuffled(sorted(complete), measuring.images):
        painted = {k: [_image(synthetic, key) for key in of_k[source]] for k, of_k in keys.items()}
        images.add(source, _image(real, source), painted)
    training = _training_images(measuring, real, powerful=len(images.keys) >= LEAST_SOURCES)
    for k, of_k in keys.items():
        names = [of_k[source] for source in images.keys]
        measuring.closest.extend(closest_pairs(images, k, names, training))
    return {k: measures_of(images, k, training) for k in keys}


def _training_images(measuring: Measuring, real: SampleReader, *, powerful: bool) -> TrainingImages | None:
    """The training images that copies are searched among; None if there are none.

    `powerful` says whether there are sources enough for a test, so that it is measured what this would flag.
    """
    splits = zip(real.keys, real.index["split"].to_pylist(), strict=True)
    keys = shuffled([key for key, split in splits if split == measuring.train_split], measuring.train_images)
    if not keys:
        return None
    parts = (measuring.encoders.vectors([_image(real, key) for key in part]) for part in batched(keys, 16))
    vectors = np.concatenate(list(parts))
    if measuring.restore is None or not powerful:
        return TrainingImages(keys, vectors, None, "no autoencoder of the base")
    try:
        restored = measuring.restore([_image(real, key) for key in keys[:RESTORED]])
    except UserError as error:
        # The images were made before, maybe on another machine: the other measures need no base.
        return TrainingImages(keys, vectors, None, str(error))
    return TrainingImages(keys, vectors, measuring.encoders.vectors(restored))


def _image(reader: SampleReader, key: str) -> Any:
    image = reader.read(key).image
    assert image is not None, f"{key} has no image"
    return image
