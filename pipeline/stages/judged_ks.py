"""All layout components for the classes that the judge does not recognise, where curation would find no fault."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from augment.errors import UserError
from downstream.fitness import ious_of_occurring
from downstream.results import RunResult, read_result
from pipeline.stages.job import Job
from pipeline.stages.judge import JudgeStep
from pipeline.stages.trainings import held_out
from pipeline.store import JSON

OPTION = "generate.k_by_judge"


class JudgedKs:
    """The classes with an IoU of the judge on held-out real images below `generate.k_by_judge`, and their k."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @property
    def below(self) -> float | None:
        """The IoU; None if the judge decides nothing."""
        return self._job.config.generate.k_by_judge

    @cached_property
    def ks(self) -> Mapping[str, int]:
        """class -> components, without those of `generate.k_by_class`; empty if the judge decides nothing.

        The judge must be made.

        Raises:
            UserError: the judge is unfit.
        """
        if self.below is None:
            return {}
        judge = self._job.step(JudgeStep)
        if shortfall := judge.shortfall():
            raise UserError(
                f"{OPTION}: the judge is unfit, so nothing will be curated and every class would need all components: "
                f"{shortfall}; {judge.remedy}, or leave {OPTION} out"
            )
        found, given = unrecognised(self._result, self.below), self._job.config.generate.k_by_class
        return {name: self._job.config.layout.k_max for name in found if name not in given}

    @property
    def inputs(self) -> dict[str, JSON]:
        """What the synthetic store depends on; nothing if the judge decides nothing."""
        if self.below is None:
            return {}
        return {JudgeStep.output: self._job.step(JudgeStep).record.digest, "k_by_judge": dict(self.ks)}

    def remark(self) -> str:
        """The classes and why, in a line; empty if the judge decides nothing, or is not made yet."""
        if self.below is None or read_result(self._job.step(JudgeStep).path) is None:
            return ""
        ious, split = ious_of_occurring(self._result), held_out(self._job)
        known = [f"{name} {ious[name]:.2f}" for name in self.ks if name in ious]
        unseen = [name for name in self.ks if name not in ious]
        reasons = [
            *([f"the judge's IoU on {split} is below {self.below:g}: {', '.join(known)}"] if known else []),
            *([f"no image of {split} shows them: {', '.join(unseen)}"] if unseen else []),
        ]
        most, classes = self._job.config.layout.k_max, len(self._result.iou)
        found = f"{len(self.ks)} of {classes} classes follow all {most} components"
        return f"generate: {'; '.join([found, *reasons])}"

    @property
    def _result(self) -> RunResult:
        result = read_result(self._job.step(JudgeStep).path)
        assert result is not None
        return result


def unrecognised(result: RunResult, below: float) -> list[str]:
    """The classes with an IoU below `below`, and those that no held-out label shows."""
    ious = ious_of_occurring(result)
    return [name for name in result.iou if ious.get(name, 0.0) < below]
