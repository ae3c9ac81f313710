"""The results of all mixes in one table, and the recommendation that follows from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from augment.errors import UserError
from augment.files import written_whole
from downstream.results import RunResult
from downstream.statistics import MIN_IMAGES
from downstream.statistics.counts import ImageCounts
from downstream.statistics.question import Question
from downstream.statistics.recommendation import Verdict, noise, recommend
from downstream.statistics.summary import MixSummary, mix_summary_from_json, summaries

_SUMMARY = b"summary"


def comparison_table(results: Sequence[RunResult]) -> pa.Table:
    """A row for each run, sorted by mix in the order given and by seed.

    Columns: mix, weight/real, weight/synthetic, seed, iterations, images (evaluated; null in results of old
    versions), miou, aacc, ``iou/<class>`` (null where absent), seconds, real and synthetic (digests of the stores;
    null where unused), fingerprint. All IoU are in 0..1.

    Raises:
        UserError: there is no run, or runs differ in iterations or real data and cannot be compared.
    """
    if not results:
        raise UserError("nothing to compare: no training run is finished")
    if len({(result.iterations, result.inputs["real"]) for result in results}) > 1:
        raise UserError("runs with different iterations or real data cannot be compared: remove the old ones")
    order = {mix: place for place, mix in enumerate(dict.fromkeys(result.mix for result in results))}
    rows = [_row(result) for result in sorted(results, key=lambda result: (order[result.mix], result.seed))]
    table = pa.Table.from_pylist(rows)
    # A column of nulls alone has no type by itself.
    return table.set_column(table.column_names.index("images"), "images", table["images"].cast(pa.int64()))


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as parquet."""
    with written_whole(path) as scratch:
        pq.write_table(table, scratch)


@dataclass(frozen=True)
class ComparisonSummary:
    """All mixes against the baseline, and what to do, or what is missing to decide it.

    Attributes:
        mixes: each mix, in the order of the table.
        baseline: the mix that others are compared with, unless they name another one; None if there is none.
        verdict: what the recommendation says.
        recommendation: one sentence.
        noise: how much the baseline varies between seeds; empty with one seed.
        images: that it was measured on; None where they were not counted.
    """

    mixes: tuple[MixSummary, ...]
    baseline: str | None
    verdict: Verdict
    recommendation: str
    noise: str
    images: int | None

    def decides(self, mix: MixSummary) -> bool:
        """Whether there are seeds and images enough to conclude anything from a mix, as in the recommendation."""
        return mix.is_decided() and (self.images is None or self.images >= MIN_IMAGES)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ComparisonSummary:
        """Inverse of `to_json`."""
        mixes = tuple(map(mix_summary_from_json, content["mixes"]))
        return cls(**{**content, "mixes": mixes, "verdict": Verdict(content["verdict"])})


def summarize(
    table: pa.Table,
    question: Question = Question(),  # noqa: B008 - it is frozen
    counts: Mapping[tuple[str, int], ImageCounts] | None = None,
    baselines: Mapping[str, str] | None = None,
) -> ComparisonSummary:
    """Mean, spread and difference of each mix against its baseline, and a recommendation.

    Args:
        table: of `comparison_table`.
        question: what is asked.
        counts: mix and seed -> what was counted in each image. Without those of every run, images count as given.
        baselines: mix -> the one that it is compared with; nothing if that has no run. Those that are missing are
            compared with `baseline_of` all.
    """
    rows = table.to_pylist()
    baseline = baseline_of(rows)
    known = {row["mix"] for row in rows}
    # A mix with fewer labels says nothing beside all of them: without its own baseline it is not compared.
    asked = {mix: (baselines or {}).get(mix, baseline) for mix in known}
    against = {mix: own if own in known else None for mix, own in asked.items()}
    mixes = summaries(rows, against, question, counts or {})
    # Tables of older versions do not say on how many images.
    images = rows[0].get("images")
    verdict, recommendation = recommend(mixes, images, question)
    scores = [score for mix in mixes if mix.mix == baseline for score in mix.scores.values()]
    others = sum(mix.baseline is not None for mix in mixes)
    varies = noise(baseline, scores, question, others) if baseline is not None else ""
    return ComparisonSummary(mixes, baseline, verdict, recommendation, varies, images)


def baseline_of(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The mix that others are compared with: `real`, or else the first one without synthetic samples."""
    names = [row["mix"] for row in rows if row["weight/synthetic"] == 0]
    return "real" if "real" in names else next(iter(names), None)


def with_summary(table: pa.Table, summary: ComparisonSummary) -> pa.Table:
    """The table with its summary in the metadata, because the counts of images are not in it."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _SUMMARY: json.dumps(summary.to_json())})


def summary_of(table: pa.Table) -> ComparisonSummary:
    """The summary that a table holds; that of its scores alone in tables of older versions."""
    stored = (table.schema.metadata or {}).get(_SUMMARY)
    return ComparisonSummary.from_json(json.loads(stored)) if stored else summarize(table)


def _row(result: RunResult) -> dict[str, Any]:
    return {
        "mix": result.mix,
        "weight/real": float(result.inputs["mix"]["real"]),
        "weight/synthetic": float(result.inputs["mix"]["synthetic"]),
        "seed": result.seed,
        "iterations": result.iterations,
        "images": result.images,
        "miou": result.miou,
        "aacc": result.aacc,
        **{f"iou/{name}": value for name, value in result.iou.items()},
        "seconds": result.seconds,
        "real": result.inputs["real"],
        "synthetic": result.inputs["synthetic"],
        "fingerprint": result.fingerprint,
    }
