"""One static page with the generated images and what they were worth."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, StrictUndefined

from augment.conditioning import LAYOUT, TITLES
from augment.errors import UserError
from augment.files import write_whole
from augment.layouts.curves import TITLES as BASES
from augment.layouts.curves import Curves, KPoint, mean_of, recommended_ks
from augment.units import duration_text, size_text
from downstream.charts import Point, trade_off_chart
from downstream.comparison import summary_of
from downstream.fitness import Fitness
from downstream.gallery import gallery
from downstream.page.curated import RULES, curation, doubts
from downstream.page.facts import costs, environment_facts, segmenter_facts
from downstream.page.gain_chart import mix_chart, part_chart
from downstream.page.gains import attributes_of, mix_gains
from downstream.page.inline_svg import inline_svg
from downstream.page.runs import mixes_by_k, runs_in, settings_of
from downstream.results import read_result
from downstream.statistics import MIN_IMAGES, MIN_SEEDS
from downstream.statistics.best_k import recommend_k
from downstream.statistics.counts import Run, read_all_counts
from downstream.statistics.recommendation import counted
from pipeline.store import Store
from pipeline.store.manifest import conditioning_of

# Stores, each with the stage that writes it.
_STAGES = {"real": "shard", "layouts": "extract", "synthetic": "generate", "curated": "curate"}
_SOURCES = 6


@dataclass(frozen=True)
class ReportInputs:
    """Files and stores that the report reads; the page names those that are missing.

    Attributes:
        workspace: folder of the run, named in the commands.
        stores: ``real``, ``layouts``, ``synthetic`` and ``curated`` -> URL.
        basis: record of the basis artifact.
        adapter: record of the adapter artifact.
        judge: folder of the judge.
        scale: record of the loss scale.
        comparison: table of `downstream.comparison`.
        evaluation: table of `downstream.evaluation`.
        curves: what the layouts keep, by the name of the basis.
        curves_chart: its chart.
        runs: folder with one folder for each training.
        history: record of the runs that made the workspace.
        config: its configuration.
        split: shows samples of this split, if it has any; None if nothing is held out, so that nothing is measured.
        name: name of the run, the title.
    """

    workspace: Path
    stores: Mapping[str, str]
    basis: Path
    adapter: Path
    judge: Path
    scale: Path
    comparison: Path
    evaluation: Path
    curves: Path
    curves_chart: Path
    runs: Path
    history: Path
    config: Path
    split: str | None
    name: str

    @classmethod
    def of_workspace(cls, workspace: Path, split: str | None, store_root: str | None, name: str | None) -> ReportInputs:
        """The files and stores of a workspace; the stores are under `store_root`, or in the workspace itself."""
        return cls(
            workspace,
            {name: f"{store_root or workspace}/{name}" for name in _STAGES},
            workspace / "basis" / "artifact.json",
            workspace / "adapter" / "artifact.json",
            workspace / "judge",
            workspace / "scale" / "artifact.json",
            workspace / "comparison.parquet",
            workspace / "evaluation.parquet",
            workspace / "curves" / "curves.json",
            workspace / "curves" / "curves.svg",
            workspace / "runs",
            workspace / "history.json",
            workspace / "config.yaml",
            split,
            name or workspace.resolve().name,
        )


def build_report(
    workspace: Path,
    output: Path | None = None,
    split: str | None = "val",
    store_root: str | None = None,
    name: str | None = None,
) -> Path:
    """Write the page of a workspace and return its path.

    Args:
        workspace: folder of the run.
        output: path of the page; None is ``report/index.html`` in the workspace.
        split: shows samples of this split, if it has any; None if the run holds none out and measures nothing.
        store_root: URL of the stores' parent folder; None is the workspace.
        name: name of the run, the title of the page; None takes the name of the folder.

    Raises:
        UserError: the workspace has no real store.
    """
    page = render(ReportInputs.of_workspace(workspace, split, store_root, name))
    path = output or workspace / "report" / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page)
    return path


def render(inputs: ReportInputs) -> str:
    """The page as HTML without external references; UserError if the real store is missing."""
    stores = {name: _open(url) for name, url in inputs.stores.items()}
    real = stores["real"]
    if real is None:
        raise UserError(f"no store at {inputs.stores['real']}: nothing to report on; run the stage shard first")
    comparison, evaluation = _table(inputs.comparison), _table(inputs.evaluation)
    synthetic, judged = stores["synthetic"], read_result(inputs.judge)
    adapter = _json(inputs.adapter)
    conditioning = _conditioning(adapter, stores["layouts"])
    pictures = gallery(real, stores["layouts"], synthetic, inputs.split, _SOURCES, conditioning)
    history = json.loads(inputs.history.read_text(encoding="utf-8")) if inputs.history.is_file() else []
    runs = comparison.to_pylist() if comparison is not None else []
    measured = evaluation.to_pylist() if evaluation is not None else []
    trained = runs_in(inputs.runs, runs)
    found = {name: store for name, store in stores.items() if store is not None}
    return _template().render(
        name=inputs.name,
        workspace=shlex.quote(str(inputs.workspace)),
        manifest=real.manifest,
        generator=dict(synthetic.manifest.inputs) if synthetic else {},
        # Basis and curves are of another run in the workspace, if this one has no layouts.
        basis=_json(inputs.basis) if conditioning == LAYOUT else {},
        adapter=adapter,
        # What images are painted on, if that is no layout.
        conditioning=None if conditioning == LAYOUT else TITLES[conditioning],
        gallery=pictures,
        doubts=doubts(synthetic, stores["curated"], pictures.taxonomy),
        judge=judged,
        fitness=Fitness.of(judged) if judged else None,
        least={"seeds": MIN_SEEDS, "images": MIN_IMAGES},
        runs=runs,
        evaluation=measured,
        trade_off=_trade_off(evaluation),
        bases=_bases(inputs.curves) if conditioning == LAYOUT else [],
        curves_chart=inline_svg(inputs.curves_chart),
        drop_reasons=stores["curated"].totals().drop_reasons if stores["curated"] else {},
        rules=RULES,
        curation=curation(synthetic, stores["curated"]),
        trial=_trial(_json(inputs.scale)),
        stores=[_store_row(name, store) for name, store in found.items()],
        costs=costs(_stages(found), judged, runs, history),
        facts=segmenter_facts(settings_of(trained)) | environment_facts(history),
        config=inputs.config.read_text(encoding="utf-8") if inputs.config.is_file() else "",
        measures=inputs.split is not None,
        missing=_missing(inputs, stores),
        **_worth(comparison, measured, real, trained),
    )


def _worth(
    table: pa.Table | None, evaluation: Sequence[Mapping[str, Any]], real: Store, trained: Mapping[Run, Path]
) -> dict[str, Any]:
    """What the page says of the comparison."""
    if table is None:
        return {"summary": None, "gains": [], "mixes": None, "best_k": ""}
    summary, counts = summary_of(table), read_all_counts(trained)
    by_k = mixes_by_k([mix.mix for mix in summary.mixes])
    best = recommend_k(table.to_pylist(), by_k, counts, evaluation).sentence if len(by_k) > 1 else ""
    gains = mix_gains(table, summary, counts, attributes_of(real.index()))
    return {"summary": summary, "gains": gains, "mixes": mix_chart(summary), "best_k": best}


def _stages(stores: Mapping[str, Store]) -> dict[str, tuple[str, float]]:
    """Stage -> what it made, and the seconds of its workers."""
    totals = {_STAGES[name]: store.totals() for name, store in stores.items()}
    return {stage: (counted(total.samples, "sample"), total.seconds) for stage, total in totals.items()}


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("downstream", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    environment.filters["points"] = lambda value: "" if value is None else f"{100 * value:+.1f}"
    environment.globals["chart_of"] = part_chart
    environment.filters["duration"] = lambda seconds: duration_text(seconds, digits=1)
    environment.filters["counted"] = counted
    environment.filters["mean"] = lambda shares: mean_of(shares.values())
    environment.filters["bytes"] = size_text
    return environment.get_template("report.html.jinja")


def _open(url: str) -> Store | None:
    try:
        store = Store.open(url)
    except UserError:
        return None
    return store if store.done() else None


def _table(path: Path) -> pa.Table | None:
    return pq.read_table(path) if path.is_file() else None


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _missing(inputs: ReportInputs, stores: Mapping[str, Store | None]) -> list[str]:
    """Names of stores and tables that the run has not made yet."""
    tables = inputs.comparison, inputs.evaluation
    # Without a held-out split, a run ends with the synthetic images.
    names = [name for name in stores if inputs.split is not None or name != "curated"]
    missing = [name for name in names if stores[name] is None]
    return missing + [path.name for path in tables if inputs.split is not None and not path.is_file()]


@dataclass(frozen=True)
class _Basis:
    """What the first k components of a basis keep.

    Attributes:
        title: its name in the chart, and what it is.
        points: at each k that is shown, ascending.
        recommended: the ks that `generate.ks=auto` would take; none without labels.
    """

    title: str
    points: Sequence[KPoint]
    recommended: tuple[int, ...] = ()


def _bases(path: Path) -> list[_Basis]:
    """The basis of the layouts at every k, and the others at the recommended ks; none before they are measured."""
    found = {name: Curves.from_json(stored) for name, stored in _json(path).items()}
    if not found:
        return []
    (name, used), *others = found.items()
    recommended = () if used.points[0].miou is None else recommended_ks(used.points)
    shown = recommended or (used.ks[0], used.ks[len(used.ks) // 2], used.ks[-1])
    return [
        _Basis(f"{name}: {BASES[name]}", used.points, recommended),
        *(
            _Basis(f"{name}: {BASES[name]}", [point for point in other.points if point.k in shown])
            for name, other in others
        ),
    ]


def _conditioning(adapter: Mapping[str, Any], layouts: Store | None) -> str:
    """The kind of what images are painted on, by the record of the adapter, or before there is one by the layouts."""
    painted_on = adapter.get("facts", {}).get("conditioning")
    return str(painted_on or (conditioning_of(layouts.manifest) if layouts else LAYOUT))


def _trade_off(table: pa.Table | None) -> str:
    if table is None:
        return ""
    points = [
        Point(f"k = {row['k']}", 100 * row["diversity"], 100 * row["alignment"])
        for row in table.to_pylist()
        if row["diversity"] is not None and row["alignment"] is not None
    ]
    return trade_off_chart(points, "diversity", "alignment") if len(points) > 1 else ""


def _trial(scale: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What curation believed of pairs of each kind in its own trial; empty for a scale of an earlier version."""
    kinds = scale.get("facts", {}).get("trial", {})
    return [{"kind": kind, **found} for kind, found in kinds.items() if found["images"]]


def _store_row(name: str, store: Store) -> dict[str, Any]:
    manifest = store.manifest
    return {"name": name, "kind": manifest.kind, "fingerprint": manifest.fingerprint, **asdict(store.totals())}


def _percent(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{100 * value:.{digits}f}"
