"""Labels that a trained segmenter predicts, for images that are to be used without their own."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from downstream.dataset import Part
from downstream.judge import Judge
from downstream.results import ArmFailed
from pipeline.store import Manifest, Sample, SampleReader, Store

_BATCH = 16


def write_pseudo_labels(part: Part, teacher: Path, confidence: float, device: str) -> None:
    """Write the store of labels that a part names, shard by shard; shards that are there are kept.

    A pixel has the class that the segmenter predicts for it, or is ignored if its probability is lower than
    `confidence`.

    Args:
        part: images, and `labels_url`, the store to write.
        teacher: folder of the trained segmenter.
        confidence: 0..1.
        device: torch device.

    Raises:
        ArmFailed: no class is predicted with that confidence in any image.
    """
    assert part.labels_url is not None
    images, judge = Store.open(part.store_url), Judge.load(teacher, device)
    taxonomy, geometry = images.manifest.taxonomy, images.manifest.geometry
    labels = Store.create(part.labels_url, Manifest("pseudo-labels", taxonomy, geometry, {"confidence": confidence}))
    reader = SampleReader(images, (images.manifest.image_format, "json"))
    rows = sorted(zip(*(part.rows()[name].to_pylist() for name in ("shard", "key")), strict=True))
    size = _BATCH if geometry else 1
    for shard, group in groupby(rows, key=lambda row: row[0]):
        if shard in labels.done():
            continue
        samples = [reader.read(key) for _, key in group]
        labels.write_shard(shard, predicted(judge, samples, confidence, part.split, size))
    written = SampleReader(labels, ("json",))
    shares = {key: float(str(written.read(key).metadata["confident"])) for key in written.keys}
    kept = sum(shares.values()) / max(len(shares), 1)
    if not kept:
        raise ArmFailed(
            f"the segmenter in {teacher} predicts no pixel of {len(shares)} images with a probability of "
            f"downstream.pseudo_confidence={confidence:g}: give a lower one, or train the judge for longer"
        )


def predicted(judge: Judge, samples: list[Sample], confidence: float, split: str, size: int) -> list[Sample]:
    """The same keys with predicted labels; the metadata `confident` is the share of pixels that are not ignored."""
    found = []
    for start in range(0, len(samples), size):
        batch = samples[start : start + size]
        arrays = [sample.image for sample in batch if sample.image is not None]
        assert len(arrays) == len(batch)
        for sample, label in zip(batch, confident_labels(judge, np.stack(arrays), confidence), strict=True):
            share = float((label != judge.ignore_index).mean())
            found.append(Sample(sample.key, label=label, metadata={"split": split, "confident": round(share, 6)}))
    return found


def confident_labels(judge: Judge, images: NDArray[np.uint8], confidence: float) -> NDArray[np.unsignedinteger]:
    """The most likely class of each pixel of images `uint8 [B, H, W, 3]`, or the ignored id below the confidence."""
    probabilities, classes = torch.softmax(judge.logits(images), dim=1).max(dim=1)
    labels = torch.where(probabilities >= confidence, classes, judge.ignore_index)
    return labels.cpu().numpy().astype(judge.label_dtype)
