"""The weights of a sampler's sums give what the schedulers of diffusers give step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from augment.errors import UserError
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.schedule import SamplingSchedule, new_scheduler, sampling_schedule

SD15 = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}
ZERO_SNR = {**SD15, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "set_alpha_to_one": True}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
MIX = 0.2 * torch.randn(8, 8, generator=torch.Generator().manual_seed(0))


def predict(latents: torch.Tensor) -> torch.Tensor:
    """A model that is not linear."""
    return torch.tanh(latents @ MIX) + 0.1 * latents


def by_sums(schedule: SamplingSchedule, noises: list[torch.Tensor]) -> torch.Tensor:
    terms = [noises[0], *[torch.zeros_like(noises[0])] * len(schedule.timesteps), *noises[1:]]
    for index in range(len(schedule.timesteps)):
        terms[1 + index] = predict(sum(w * term for w, term in zip(schedule.weights[index], terms, strict=True)))  # type: ignore[arg-type]
    return sum(w * term for w, term in zip(schedule.weights[-1], terms, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize("num_steps", [1, 2, 7])
@pytest.mark.parametrize("scheduler", ["ddim", "dpmsolver++", "unipc", "euler", "lcm"])
@pytest.mark.parametrize("base", [SD15, ZERO_SNR, FLOW], ids=["sd15", "zero-snr", "flow"])
def test_sums_give_what_the_scheduler_gives(base: dict[str, Any], scheduler: Any, num_steps: int) -> None:
    options = SamplerOptions(scheduler=scheduler, num_steps=num_steps)
    if base is FLOW and scheduler in ("ddim", "lcm"):
        with pytest.raises(UserError, match=f"generator.scheduler={scheduler}: the base was trained by flow matching"):
            sampling_schedule(base, options)
        return
    found = sampling_schedule(base, options)
    first = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1))
    expected_by = new_scheduler(base, options)
    expected_by.set_timesteps(num_steps)
    latents = first * getattr(expected_by, "init_noise_sigma", 1.0)
    random: dict[str, Any] = {"generator": torch.Generator().manual_seed(2)} if scheduler == "lcm" else {}
    for timestep in expected_by.timesteps:
        scales = hasattr(expected_by, "scale_model_input")
        inputs = expected_by.scale_model_input(latents, timestep) if scales else latents
        latents = expected_by.step(predict(inputs), timestep, latents, **random).prev_sample
    later = torch.Generator().manual_seed(2)
    added = [torch.randn(first.shape, generator=later) for _ in range(found.noises - 1)]
    assert found.noises == (num_steps if scheduler == "lcm" else 1)
    assert torch.equal(found.timesteps, expected_by.timesteps)
    # Euler multiplies the first noise by up to 4096 where the last noise level is pure noise.
    torch.testing.assert_close(by_sums(found, [first, *added]), latents, rtol=1e-4, atol=1e-3)


def test_steps_begin_at_the_noisiest_level_unless_the_base_is_to_choose() -> None:
    first = {}
    for spacing in ("trailing", "leading", "linspace", "base"):
        options = SamplerOptions.model_validate({"scheduler": "ddim", "timestep_spacing": spacing, "num_steps": 20})
        first[spacing] = int(sampling_schedule(SD15, options).timesteps[0])
    # SD 1.5 names no spacing, and DDIM's is then leading, with an offset of 1.
    assert first == {"trailing": 999, "leading": 951, "linspace": 999, "base": 951}


def test_noise_levels_are_those_of_the_base() -> None:
    ends = [float(new_scheduler(base, SamplerOptions()).alphas_cumprod[-1]) for base in (SD15, ZERO_SNR)]
    assert ends[0] == pytest.approx(0.00466, abs=1e-5) and ends[1] < 1e-6


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace", "base"])
@pytest.mark.parametrize("scheduler", ["ddim", "dpmsolver++", "unipc", "euler", "lcm"])
def test_weights_are_finite_or_the_sampler_is_refused(scheduler: Any, spacing: Any) -> None:
    noisiest = {**ZERO_SNR, "prediction_type": "epsilon"}
    options = SamplerOptions(scheduler=scheduler, timestep_spacing=spacing)
    if scheduler == "lcm" or (scheduler == "ddim" and spacing in ("trailing", "linspace")):
        with pytest.raises(UserError, match="the base predicts the noise"):
            sampling_schedule(noisiest, options)
    else:
        assert sampling_schedule(noisiest, options).weights.isfinite().all()


def test_lcm_takes_some_of_its_steps_at_any_spacing() -> None:
    with pytest.raises(UserError, match=r"generator\.num_steps=51: lcm has at most 50 steps"):
        sampling_schedule(SD15, SamplerOptions(scheduler="lcm", num_steps=51))
    spacings: tuple[Any, ...] = ("trailing", "leading", "linspace")
    found = [
        sampling_schedule(SD15, SamplerOptions(scheduler="lcm", num_steps=50, timestep_spacing=spacing)).timesteps
        for spacing in spacings
    ]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_the_schedule_of_lcm_leaves_the_random_numbers_of_the_program_alone() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    sampling_schedule(SD15, SamplerOptions(scheduler="lcm", num_steps=4))
    assert torch.equal(torch.get_rng_state(), state)
