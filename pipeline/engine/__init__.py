"""Work units, outcomes and receipts, and the executors that run them."""

from __future__ import annotations

from pipeline.engine.budget import ErrorBudget, top_reasons
from pipeline.engine.errors import RunFailed, UnitFailed
from pipeline.engine.executor import Executor, ExecutorKind, make_executor
from pipeline.engine.outcome import Dropped, Failed, Ok, Outcome
from pipeline.engine.plan import Plan, PlanOnDemand, remaining
from pipeline.engine.retry import RetrySummary, retry_store_stage
from pipeline.engine.run import StageSummary, run_store_stage
from pipeline.engine.stage import Resources, Source, Stage, UnitTask
from pipeline.engine.task import ShardTask
from pipeline.engine.training import TrainingTask
from pipeline.engine.unit import WorkUnit

__all__ = [
    "Dropped",
    "ErrorBudget",
    "Executor",
    "ExecutorKind",
    "Failed",
    "Ok",
    "Outcome",
    "Plan",
    "PlanOnDemand",
    "Resources",
    "RetrySummary",
    "RunFailed",
    "ShardTask",
    "Source",
    "Stage",
    "StageSummary",
    "TrainingTask",
    "UnitFailed",
    "UnitTask",
    "WorkUnit",
    "make_executor",
    "remaining",
    "retry_store_stage",
    "run_store_stage",
    "top_reasons",
]
