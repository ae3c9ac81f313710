"""Alignment and diversity of synthetic images, by number of layout components."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np
import pyarrow as pa

from augment.errors import UserError
from augment.metrics import confusion_matrix, mean_iou, pairwise_difference
from downstream.dataset import Part, label_taxonomy
from downstream.judge import Judge
from pipeline.store import Sample, SampleReader, Store, stack_pairs

T = TypeVar("T")
_MEASURES = ("judge_miou", "judge_miou_on_real", "alignment", "diversity")
SCHEMA = pa.schema(
    [(name, pa.int64()) for name in ("k", "images", "sources")] + [(name, pa.float64()) for name in _MEASURES]
)


def evaluate(judge: Judge | None, real_store: str, synthetic_store: str, split: str, batch_size: int = 16) -> pa.Table:
    """Measure the synthetic samples of a split, preferably one that neither judge nor adapter was trained on.

    Args:
        judge: a segmenter trained on real samples of another split; None if it is unfit.
        real_store: URL of the real store.
        synthetic_store: URL of the synthetic store, before curation.
        split: split to measure.
        batch_size: images per forward pass of the judge.

    Returns:
        A row for each k, ascending: k, images, sources; judge_miou, the judge's mIoU on synthetic images
        against their sources' labels; judge_miou_on_real, on the source images themselves; alignment, the
        first divided by the second (all three null without a judge, or without labelled pixels); diversity, the
        mean difference of pixels between two variants of one source, 0..1 of the value range (null with one variant).

    Raises:
        UserError: a store has no labelled samples of the split, or its classes are not those of the judge.
    """
    if judge is not None:
        for url in (real_store, synthetic_store):
            require_classes(judge, Store.open(url))
    rows = Part(synthetic_store, split).rows().select(["key", "k", "source_key"]).to_pylist()
    # The real store must hold all sources.
    known = set(Part(real_store, split).rows()["key"].to_pylist())
    if missing := sorted({row["source_key"] for row in rows} - known):
        raise UserError(f"{real_store} lacks {missing[0]!r}, a source of {synthetic_store}")
    real, synthetic = (SampleReader(Store.open(url)) for url in (real_store, synthetic_store))

    def judged(samples: Iterable[Sample]) -> float | None:
        return None if judge is None else judged_miou(judge, samples, batch_size)

    on_real: dict[tuple[str, ...], float | None] = {}
    table = []
    for k in sorted({row["k"] for row in rows}):
        of_k = [row for row in rows if row["k"] == k]
        sources = tuple(sorted({row["source_key"] for row in of_k}))
        if sources not in on_real:
            on_real[sources] = judged(map(real.read, sources))
        miou = judged(synthetic.read(row["key"]) for row in of_k)
        table.append(
            {
                "k": k,
                "images": len(of_k),
                "sources": len(sources),
                "judge_miou": miou,
                "judge_miou_on_real": on_real[sources],
                "alignment": _ratio(miou, on_real[sources]),
                "diversity": _diversity(synthetic, of_k),
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
