"""What the page says of a comparison: gains, the best k, growth, gain per hour, and the search before it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from downstream.arms import parse_arm
from downstream.comparison import ComparisonSummary, summary_of
from downstream.page.amounts import amounts, unit_of_work, yields
from downstream.page.gain_chart import mix_chart
from downstream.page.gains import attributes_of, mix_gains
from downstream.page.growth import growths
from downstream.page.runs import mixes_by_k
from downstream.results import RunResult
from downstream.search import SearchResult
from downstream.statistics.best_k import recommend_k
from downstream.statistics.counts import Run, read_all_counts
from pipeline.store import Store


def worth(
    table: pa.Table | None,
    evaluation: Sequence[Mapping[str, Any]],
    stores: Mapping[str, Store],
    trained: Mapping[Run, Path],
    judge: RunResult | None,
    history: Sequence[Mapping[str, Any]],
    curve_ks: Sequence[int],
) -> dict[str, Any]:
    """What the page says of the comparison, by the names of its template.

    Args:
        table: of `downstream.comparison.comparison_table`; None before there is one.
        evaluation: rows of `downstream.evaluation.evaluate`.
        stores: those that are there, `real` among them.
        trained: mix and seed -> folder of the training.
        judge: its training.
        history: of the run's record.
        curve_ks: those that the layout curves recommend.
    """
    if table is None:
        return {"summary": None, "gains": [], "mixes": None, "best_k": "", "growths": [], "yields": [], "work": ""}
    summary, counts, rows = summary_of(table), read_all_counts(trained), table.to_pylist()
    by_k = mixes_by_k([mix.mix for mix in summary.mixes])
    found = amounts([mix.mix for mix in summary.mixes], stores)
    return {
        "summary": summary,
        "gains": mix_gains(table, summary, counts, attributes_of(stores["real"].index())),
        "mixes": mix_chart(summary),
        "best_k": recommend_k(rows, by_k, counts, evaluation, curve_ks).sentence if len(by_k) > 1 else "",
        "growths": growths(summary, {mix: amount.images for mix, amount in found.items()}),
        "yields": yields(summary, found, stores, judge, rows),
        "work": unit_of_work(history),
    }


def search_before(path: Path, summary: ComparisonSummary | None) -> SearchResult | None:
    """The search whose winner is among the mixes that are compared, or that none is compared yet."""
    if not path.is_file():
        return None
    found = SearchResult.from_json(json.loads(path.read_text(encoding="utf-8")))
    # Another one is of an earlier configuration of the workspace.
    return found if summary is None or found.winner in {_name(mix.mix) for mix in summary.mixes} else None


def _name(mix: str) -> str:
    """A mix as results of searches name it; one that is no expression as it is."""
    try:
        return str(parse_arm(mix))
    except ValueError:
        return mix
