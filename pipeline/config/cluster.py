"""Where the work is done, and how many failures it bears; nothing here changes a result."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from augment.options import Options, Positive, PositiveFloat
from pipeline.config.sections import StageName


class ErrorBudgetConfig(Options):
    """How many bad samples a stage may meet before the run stops."""

    rate: float = Field(default=0.01, ge=0, le=1, description="share of the samples")
    minimum: int = Field(default=10, ge=0, description="failures that are always borne")


class StageResources(Options):
    """What one worker of a stage takes; none of it changes a result."""

    num_cpus: float = Field(default=1, gt=0, description="CPU slots a worker")
    num_gpus: float = Field(default=0, ge=0, description="accelerators a worker; any makes it run there")
    workers: Literal["auto"] | Positive = Field(default="auto", description="workers; auto is the most that fit")
    threads: Positive | None = Field(default=None, description="compute threads a worker; null shares the cores out")
    batch_size: Positive = Field(default=8, description="samples a forward pass")
    unit_timeout: PositiveFloat | None = Field(
        default=None,
        description="seconds without a finished shard after which a worker hangs and is replaced (a serial run has "
        "none to replace it by: it warns and waits); null waits for ever",
    )
    setup_timeout: PositiveFloat | None = Field(
        default=None,
        description="seconds that a worker may take to load its model, which unit_timeout does not count; be generous; "
        "null waits for ever",
    )


class ClusterConfig(Options):
    """Where the work is done."""

    executor: Literal["ray", "serial"] = Field(default="ray", description="Ray workers, or this process alone")
    address: str | None = Field(
        default=None, description="address of a Ray cluster, 'auto', or null for RAY_ADDRESS, else this machine"
    )
    default: StageResources = Field(default=StageResources(), description="resources of every stage")
    stages: dict[StageName, StageResources] = Field(
        default={}, description="stage -> its own resources; keys that an entry does not set come from default"
    )

    @field_validator("stages")
    @classmethod
    def complete(cls, stages: dict[StageName, StageResources], info: ValidationInfo) -> dict[StageName, StageResources]:
        """Fill each entry from `default`, here so that the kept configuration has the values that were used."""
        default = info.data.get("default", StageResources())
        return {
            stage: default.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})
            for stage, own in stages.items()
        }

    def resources(self, stage: StageName) -> StageResources:
        """Resources of one worker of `stage`."""
        return self.stages.get(stage, self.default)
