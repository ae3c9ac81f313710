"""What the trainings and the sampling of a run are expected to take, for `plan`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from augment.errors import UserError
from augment.lumen.cost.cost import Cost, Models, kept_cost
from augment.units import duration_text, size_text
from pipeline.checks.resources import gpus_here
from pipeline.config import Config
from pipeline.stages.adapt import AdaptStep
from pipeline.stages.adapt_progress import steps_taken
from pipeline.stages.base_identity import base_revision
from pipeline.stages.conditioning import conditioning_channels
from pipeline.stages.generate import GenerateStep
from pipeline.stages.generator import start_adapter
from pipeline.stages.step import Step
from pipeline.store import CorruptStore, StoreUnavailable, Totals
from pipeline.workflow.survey import Standing

if TYPE_CHECKING:
    from augment.lumen.cost.devices import Device
    from augment.lumen.cost.shapes import Shapes


def expected_lines(config: Config, standings: Sequence[Standing]) -> list[str]:
    """A line of expected memory and time for each stage that is left and trains or runs the diffusion model."""
    lines = []
    for standing in standings:
        step = standing.step
        if standing.done:
            continue
        if isinstance(step, AdaptStep) and config.adapt.steps:
            lines.append(_said(step, partial(_adapting, may_be_begun=standing.blocked_by is None)))
        elif isinstance(step, GenerateStep):
            lines.append(_said(step, partial(_painting, images=_images_left(standing))))
    return lines


def _images_left(standing: Standing) -> int:
    images, made = standing.size.samples if standing.size else 0, standing.made
    return images - (made.samples + made.failures + made.dropped if isinstance(made, Totals) else 0)


def _said(step: Step, expect: Callable[[Step], str]) -> str:
    """The line of a step; a plan does not fail where there is no estimate."""
    try:
        return f"{step.name}: {expect(step)}"
    except (UserError, StoreUnavailable, CorruptStore, OSError, ValueError, RuntimeError) as error:
        return f"{step.name}: no estimate of memory and time ({' '.join(str(error).split())})"


def _adapting(step: AdaptStep, may_be_begun: bool) -> str:
    options, precision = step.config.adapt, step.config.generator.training_precision
    device, workers = _device_of(step.resources.device, precision), _workers(step)
    models, height, width = _models(step)

    def shapes() -> Shapes:
        from augment.lumen.cost.shapes import Shapes

        return Shapes.to_train(models, height, width, step.resources.device, precision)

    def counted() -> Cost:
        from augment.lumen.cost.training import training_cost

        return training_cost(shapes(), options, workers)

    chosen = options.model_dump(mode="json", exclude={"steps"})
    cost = kept_cost(models, [height, width, step.resources.device, precision, workers, chosen], counted)
    remedy = ""
    if not device.fits(cost.memory):
        from augment.lumen.cost.training import largest_micro_batch

        most = largest_micro_batch(shapes(), options, device, workers)
        settings = [f"adapt.micro_batch={most}"] if most else []
        if not options.gradient_checkpointing:
            settings.append("adapt.gradient_checkpointing=true")
        remedy = " or ".join(settings) or "a smaller geometry"
    # What it depends on, and so its path, is known only when the stages that it reads are done.
    taken = steps_taken(step.config, step.artifact().scratch) if may_be_begun else 0
    text = _text(device, cost, workers, cost.flops * (options.steps - taken), remedy)
    more = [", without its consistency reward"] if options.objective.consistency else []
    more += [f", for the {options.steps - taken} steps after the checkpoint at {taken}"] if taken else []
    return "".join([text, *more])


def _painting(step: Step, images: int) -> str:
    options, scales = step.config.generator, step.config.generate.guidance_scales
    if scales:
        # Any scale but 1 costs the same.
        options = options.model_copy(update={"guidance_scale": max(scales)})
    fixed, precision = options.fixed_batch, options.precision
    batch = fixed or step.resources.batch_size
    models, height, width = _models(step)

    def counted() -> Cost:
        from augment.lumen.cost.shapes import Shapes

        return Shapes.to_paint(models, height, width, precision).painting(batch, options)

    cost = kept_cost(models, [height, width, batch, options.model_dump(mode="json")], counted)
    key = "generator.fixed_batch" if fixed else "cluster.stages.generate.batch_size"
    remedy = f"a smaller {key} than {batch}"
    device = _device_of(step.resources.device, precision)
    return _text(device, cost, _workers(step), cost.flops * images / batch, remedy)


def _text(device: Device, cost: Cost, workers: int, flops: float, remedy: str) -> str:
    from augment.lumen.cost.devices import UTILISATION

    parts = {"models": cost.weights, "training state": cost.state, "activations": cost.working}
    held = ", ".join(f"{name} {size_text(size)}" for name, size in parts.items() if size)
    # Workers without a GPU share the cores.
    shared = workers if device.is_gpu else 1
    # CPUs reach less of their peak with large networks, and with other programs beside them.
    hours = f"{'about' if device.is_gpu else 'at least'} {duration_text(device.seconds(flops) / shared)}"
    several = f"{workers} workers" if workers > 1 else "one worker"
    return (
        f"expects {size_text(cost.memory)} for each worker ({held}), {_room(device, cost, remedy)}; {hours} with "
        f"{several} on {device.name} ({flops:.2g} FLOP at {UTILISATION:.0%} of {device.peak / 1e12:.3g} TFLOP/s)"
    )


def _room(device: Device, cost: Cost, remedy: str) -> str:
    if device.memory is not None:
        there = f"the {size_text(device.memory)} there are"
        return f"which fits {there}" if device.fits(cost.memory) else f"more than {there}: try {remedy}"
    cards = device.cards(cost.memory)
    return f"which fits cards of {cards[0]} GB or more" if cards else f"more than any common card has: try {remedy}"


def _workers(step: Step) -> int:
    """Workers of a stage, as far as this machine knows."""
    resources = step.resources
    most = max(1, step.parts())
    if resources.workers != "auto":
        return min(most, resources.workers)
    return min(most, max(1, int(gpus_here() / resources.num_gpus))) if resources.num_gpus else 1


@lru_cache(maxsize=4)
def _device_of(device: str, precision: str) -> Device:
    from augment.lumen.cost.devices import Device

    return Device.here(device, precision)


def _models(step: Step) -> tuple[Models, int, int]:
    config = step.config
    components, revision = conditioning_channels(step.job), base_revision(step.job)
    models = Models(config.generator.base, start_adapter(config), components, revision)
    return models, config.geometry.height, config.geometry.width
