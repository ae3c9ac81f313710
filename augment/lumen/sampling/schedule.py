"""The steps of a sampler as sums with known weights, so that the loop over them never waits for the device.

The deterministic samplers of diffusers are linear: the latents at each step are a weighted sum of the first noise and
the predictions so far. The weights depend on the schedule alone. They are computed once, by giving the scheduler of
diffusers unit vectors in place of images.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from augment.lumen.sampling.options import BASE_SPACING, FLOW, is_flow, require_scheduler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from augment.lumen.sampling.options import SamplerOptions

# What a base says of the noise that it was trained with. The rest of its configuration, such as the order of a solver,
# is about its own sampler.
NOISE = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr"),
    *("prediction_type", "set_alpha_to_one", "steps_offset", "timestep_spacing"),
    *("shift", "flow_shift", "use_flow_sigmas"),
)


@dataclass(frozen=True)
class SamplingSchedule:
    """What a sampler of n steps does.

    The terms of its sums are the first noise, the n predictions, and the noises that `lcm` adds after each step but the
    last.

    Attributes:
        timesteps: of the n predictions, as the model takes them.
        weights: `float32 [n + 1, terms]`. Row i has the weights of the latents that prediction i is made of; the last
            row has those of the result.
    """

    timesteps: torch.Tensor
    weights: torch.Tensor

    @property
    def noises(self) -> int:
        """Number of noises, the first and those that are added."""
        return self.weights.shape[1] - len(self.timesteps)


def sampling_schedule(schedule: Mapping[str, Any], options: SamplerOptions) -> SamplingSchedule:
    """The steps of a sampler on the noise schedule of a base model.

    Args:
        schedule: configuration of the scheduler of the base.
        options: name of the sampler, number and spacing of its steps.

    Raises:
        UserError: the sampler does not exist for this schedule.
    """
    scheduler = new_scheduler(schedule, options)
    scheduler.set_timesteps(options.num_steps)
    steps = len(scheduler.timesteps)
    # The noise that the LCM scheduler adds by itself is not used.
    unused = {"generator": torch.Generator()} if options.scheduler == "lcm" else {}
    units = torch.eye(2 * steps if unused else steps + 1, dtype=torch.float64)[:, None]
    latents = units[0] * float(getattr(scheduler, "init_noise_sigma", 1.0))
    rows = []
    for index, timestep in enumerate(scheduler.timesteps):
        scales = hasattr(scheduler, "scale_model_input")
        rows.append(scheduler.scale_model_input(latents, timestep) if scales else latents)
        output = scheduler.step(units[1 + index], timestep, latents, **unused)
        latents = output.prev_sample.double()
        if unused and index + 1 < steps:
            later = scheduler.timesteps[index + 1 : index + 2]
            latents = scheduler.add_noise(output.denoised, units[1 + steps + index], later)
    return SamplingSchedule(scheduler.timesteps, torch.cat([*rows, latents]).float())


def new_scheduler(schedule: Mapping[str, Any], options: SamplerOptions) -> Any:
    """The scheduler of diffusers that the options name, for the noise schedule of a base model.

    Raises:
        UserError: it does not exist for this schedule.
    """
    import diffusers

    require_scheduler(schedule, options)
    classes = {
        "ddim": diffusers.DDIMScheduler,
        "dpmsolver++": diffusers.DPMSolverMultistepScheduler,
        "unipc": diffusers.UniPCMultistepScheduler,
        "euler": diffusers.EulerDiscreteScheduler,
        "lcm": diffusers.LCMScheduler,
    }
    if is_flow(schedule):
        classes["euler"] = diffusers.FlowMatchEulerDiscreteScheduler
        facts = {"prediction_type": FLOW, "use_flow_sigmas": True, "flow_shift": schedule.get("shift", 1.0), **schedule}
    else:
        # With the defaults of DDIM where the configuration is silent; those of other schedulers differ.
        facts = {**diffusers.DDIMScheduler.from_config(dict(schedule)).config}
    if options.timestep_spacing != BASE_SPACING:
        facts["timestep_spacing"] = options.timestep_spacing
    chosen = classes[options.scheduler]
    known = inspect.signature(chosen.__init__).parameters
    given = {name: facts[name] for name in NOISE if name in known and name in facts}
    return chosen(**given, **({"clip_sample": False} if "clip_sample" in known else {}))
