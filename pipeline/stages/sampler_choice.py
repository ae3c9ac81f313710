"""How a run samples under a bound on loss: chosen once by a calibration on its own layouts, and kept with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from augment.errors import UserError
from pipeline.engine import Source, WorkUnit
from pipeline.stages.adapt import AdaptStep
from pipeline.stages.base_identity import base_identity
from pipeline.stages.extract import ExtractStep
from pipeline.stages.generator import GeneratorOptions, sampler_inputs
from pipeline.stages.job import Job
from pipeline.stages.sampler_calibration import ChooseSampling, Painter
from pipeline.stages.step import contents_of
from pipeline.stages.tools import Tools
from pipeline.store import JSON
from pipeline.workspace.artifact import Artifact, discard, require_own
from pipeline.workspace.content import content_digest

SAMPLER_CHOICE = "sampler"
IMAGES = 8


class SamplerChoice:
    """The options of the sampler of a run: as configured, or as a calibration chose them under `max_loss`."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @property
    def _max_loss(self) -> float | None:
        return self._job.config.generator.max_loss

    def artifact(self) -> Artifact:
        """The choice; what it was made from does not name the device, so that a resumed run keeps it anywhere."""
        generator = self._job.config.generator
        inputs: dict[str, JSON] = {
            "layouts": content_digest(self._job.step(ExtractStep).store),
            "adapter": self._job.step(AdaptStep).record.digest,
            "base": base_identity(self._job),
            "sampler": sampler_inputs(generator),
            "max_loss": self._max_loss,
        }
        names = {
            **contents_of(ExtractStep, AdaptStep),
            "base": "generator.base",
            "sampler": "generator",
            "max_loss": "generator.max_loss",
        }
        return Artifact(self._job.workspace.artifact(SAMPLER_CHOICE), "sampler", inputs, input_names=names)

    @property
    def options(self) -> GeneratorOptions:
        """How to sample.

        Raises:
            UserError: there is no choice for these inputs, though there are images.
        """
        return self._chosen[0]

    @property
    def batch_size(self) -> int:
        """Images at once: the chosen number, or as many as configured if those are fewer."""
        most = self._job.config.cluster.resources("generate").batch_size
        return min(most, self._chosen[1] or most)

    @property
    def _chosen(self) -> tuple[GeneratorOptions, int | None]:
        generator = self._job.config.generator
        if self._max_loss is None:
            return generator, None
        artifact = self.artifact()
        artifact.require_match("generate")
        record = artifact.record()
        if record is None:
            raise UserError(
                f"generator.max_loss={self._max_loss:g}: {artifact.path} is missing, which says how the images that "
                "exist were sampled: put it back, set max_loss=null, or make them again with --redo generate"
            )
        changed = record.facts["options"]
        assert isinstance(changed, dict)
        # Of the options that may change, those that are lists in JSON are tuples.
        update = {name: tuple(value) if isinstance(value, list) else value for name, value in changed.items()}
        return generator.model_copy(update=update), int(str(record.facts["batch_size"]))

    def prepare(
        self, tools: Tools, stage: Painter, source: Source, keys: Sequence[str], ks: Sequence[int], images: int
    ) -> None:
        """Choose, if a loss is allowed and that is not done.

        Args:
            tools: of the run.
            stage, source: paint with the configured options, and read what to paint.
            keys: of all sources.
            ks: of the run.
            images: that the run paints.
        """
        if self._max_loss is None or self.artifact().is_done():
            return
        self.check_prepared()
        count = min(IMAGES, len(keys))
        unit = WorkUnit("calibration", tuple(keys[len(keys) * i // count] for i in range(count)), {"variant": 0})
        tools.report(f"generate: choosing how to sample, with a loss of at most {self._max_loss:g} grey levels")
        task = ChooseSampling(stage, source, tuple(ks), self._max_loss, images)
        [(_, facts)] = tools.executor.map(task, [unit])
        with self.artifact().building(facts) as folder:
            (folder / "choice.json").write_text(json.dumps(facts, indent=2) + "\n")
        tools.report(f"generate: {describe(facts)}")

    def check_prepared(self) -> None:
        """Raise ArtifactMismatch if the existing choice was made for something else."""
        if self._max_loss is not None:
            self.artifact().require_match("generate")

    def require_resettable(self) -> None:
        """Raise UserError if a folder that is no choice is in its place."""
        require_own(self._job.workspace.artifact(SAMPLER_CHOICE))

    def discard(self) -> None:
        """Remove the choice."""
        discard(self._job.workspace.artifact(SAMPLER_CHOICE))


def describe(facts: Mapping[str, JSON]) -> str:
    """What was chosen and measured, in a line."""
    changed = facts["options"]
    assert isinstance(changed, dict)
    options = ", ".join(f"{name}={value}" for name, value in changed.items()) or "no reuse"
    return (
        f"samples with {options}, {facts['batch_size']} images at once: {facts['seconds']} s an image instead of "
        f"{facts['exact_seconds']}, at a loss of {facts['loss']} grey levels on {facts['images']} images"
    )
