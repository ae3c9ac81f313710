"""Work units, outcomes and receipts, and the executors that run them."""

from __future__ import annotations

from pipeline.engine.errors import ErrorBudget, RunFailed, UnitFailed, top_reasons
from pipeline.engine.executor import Executor, ExecutorKind, make_executor
from pipeline.engine.plan import Plan, PlanOnDemand, remaining
from pipeline.engine.retry_stage import RetrySummary, retry_store_stage
from pipeline.engine.run_stage import StageSummary, run_store_stage
from pipeline.engine.stage import (
    Dropped,
    Failed,
    Ok,
    Outcome,
    Resources,
    Source,
    Stage,
    TrainingTask,
    UnitTask,
    WorkUnit,
)
from pipeline.engine.task import ShardTask

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
