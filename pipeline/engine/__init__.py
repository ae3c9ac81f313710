"""Work units, outcomes and receipts, and the executors that run them.

Import from here; only the modules ``ray_*``, which load Ray, are imported by their own names where they are needed.
"""

from __future__ import annotations

from pipeline.engine.errors import ErrorBudget, RunFailed, UnitFailed, is_disk_full, top_reasons
from pipeline.engine.executor import Executor, ExecutorKind, make_executor
from pipeline.engine.memory import FittingBatches
from pipeline.engine.overlap import ordered
from pipeline.engine.plan import Plan, PlanOnDemand, remaining
from pipeline.engine.progress import remark, training_progress
from pipeline.engine.retry_stage import RetrySummary, retry_store_stage
from pipeline.engine.run_stage import StageSummary, run_store_stage
from pipeline.engine.stage import (
    Dropped,
    Failed,
    Ok,
    Outcome,
    Pipelined,
    Resources,
    Source,
    Stage,
    TrainingTask,
    UnitTask,
    WorkUnit,
    workers_together,
)
from pipeline.engine.task import ShardTask
from pipeline.engine.worker import THREADING

__all__ = [
    "THREADING",
    "Dropped",
    "ErrorBudget",
    "Executor",
    "ExecutorKind",
    "Failed",
    "FittingBatches",
    "Ok",
    "Outcome",
    "Pipelined",
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
    "is_disk_full",
    "make_executor",
    "ordered",
    "remaining",
    "remark",
    "retry_store_stage",
    "run_store_stage",
    "top_reasons",
    "training_progress",
    "workers_together",
]
