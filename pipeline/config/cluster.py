"""Where the work is done; none of it changes a result."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from augment.options import Options
from augment.suggestion import suggest
from pipeline.engine import ExecutorKind, Resources
from pipeline.stages.registry import stage_names


def _known_stage(name: str) -> str:
    if name not in (known := stage_names()):
        raise ValueError(suggest(name, known, "the stages are"))
    return name


KnownStage = Annotated[str, AfterValidator(_known_stage)]


class ClusterOptions(Options):
    """Where the work is done."""

    executor: ExecutorKind = Field(default="ray", description="Ray workers, or this process alone")
    address: str | None = Field(
        default=None, description="address of a Ray cluster, 'auto', or null for RAY_ADDRESS, else this machine"
    )
    default: Resources = Field(default=Resources(), description="resources of every stage")
    stages: dict[KnownStage, Resources] = Field(
        default={},
        description=f"stage ({', '.join(stage_names())}) -> its own resources; keys that are not set come from default",
    )

    @field_validator("stages")
    @classmethod
    def complete(cls, stages: dict[KnownStage, Resources], info: ValidationInfo) -> dict[KnownStage, Resources]:
        """Fill each entry from `default`, here so that the kept configuration has the values that were used."""
        default = info.data.get("default", Resources())
        return {
            stage: default.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})
            for stage, own in stages.items()
        }

    def resources(self, stage: str) -> Resources:
        """Resources of one worker of `stage`."""
        return self.stages.get(stage, self.default)
