"""What training and sampling take on one device, from the configurations of the models alone."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from augment.loading import quiet
from augment.lumen.adapter import load_adapter
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.cost.cost import Cost, Models
from augment.lumen.cost.kernels import Kernels
from augment.lumen.cost.meter import Meter
from augment.lumen.precision import DTYPES
from augment.lumen.sampling.decoding import images_at_once
from augment.lumen.sampling.denoiser import Denoiser
from augment.lumen.sampling.options import NO_GUIDANCE
from augment.stride import STRIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from augment.lumen.adapter import Adapter
    from augment.lumen.bases.base import DiffusionModel
    from augment.lumen.options import OptimizerName
    from augment.lumen.sampling.options import Precision, SamplerOptions

# Bytes for each weight: two moments of AdamW.
MOMENTS: dict[OptimizerName, int] = {"adamw": 8, "adamw8bit": 2}


def networks(models: Models, dtype: torch.dtype) -> tuple[DiffusionModel, Adapter]:
    """Base model and adapter with shapes and no values: their configurations are read, not their weights.

    Raises:
        UserError: one cannot be read.
    """
    base = load_diffusion_model(models.base, "meta", dtype, revision=models.revision)
    with quiet(), torch.device("meta"):
        if models.adapter is None:
            return base, base.new_adapter(models.num_components).to(dtype)
        return base, load_adapter(models.adapter, "meta", dtype)


@dataclass(frozen=True)
class Shapes:
    """Base model and adapter, with shapes and no values.

    Attributes:
        base, adapter: on `meta`, in the types that they would have.
        height, width: of the images, in pixels.
        autocast: type that operations run in; None without autocast.
    """

    base: DiffusionModel
    adapter: Adapter
    height: int
    width: int
    autocast: torch.dtype | None = None

    @classmethod
    def to_train(cls, models: Models, height: int, width: int, device: str, precision: Precision) -> Shapes:
        """Models as `adapt` loads them: in float32, but for a network on a GPU that is not trained, under autocast.

        Args:
            models: their names.
            height, width: of the images, in pixels.
            device: `cuda` or `cpu`.
            precision: of the configuration; `fp16` trains in float32.

        Raises:
            UserError: a configuration cannot be read.
        """
        shapes = cls(*networks(models, torch.float32), height, width)
        if precision != "bf16":
            return shapes
        if device == "cuda":
            with quiet():
                shapes.base.network.to(torch.bfloat16)
        return replace(shapes, autocast=torch.bfloat16)

    @classmethod
    def to_paint(cls, models: Models, height: int, width: int, precision: Precision) -> Shapes:
        """Models as `load_sampler` loads them, in the precision of the configuration; see `to_train`."""
        shapes = cls(*networks(models, DTYPES[precision]), height, width)
        if precision == "fp16" and shapes.base.vae.config.force_upcast:
            shapes.base.vae.to(torch.float32)
        return shapes

    def training(
        self,
        batch: int,
        micro_batch: int | None = None,
        *,
        gradient_checkpointing: bool = False,
        optimizer: OptimizerName = "adamw",
        workers: int = 1,
    ) -> Cost:
        """A step of the adapter's training, in which each of the workers takes its part of `batch` samples.

        Args:
            batch: samples of all workers together.
            micro_batch: samples that go through the model together; None is all of a worker.
            gradient_checkpointing, optimizer: see `AdaptOptions`.
            workers: that train together.

        Returns:
            The cost of one worker, the operations of all.
        """
        own = -(-batch // workers)
        together = min(own, micro_batch or own)
        trained = list(self.adapter.parameters())
        self.adapter.train().requires_grad_(True)
        # With one part in one process, gradients begin in the backward pass, while activations are freed.
        for parameter in trained:
            parameter.grad = torch.empty_like(parameter) if workers > 1 or together < own else None
        kept = [parameter.grad for parameter in trained if parameter.grad is not None]
        with self._run(kept) as meter, self._checkpointed() if gradient_checkpointing else nullcontext():
            latents, levels, text, layout, k = self._inputs(together)
            output = self._denoised(latents, levels, text, layout, k)
            torch.autograd.backward([F.mse_loss(output.float(), torch.empty_like(latents))])
        self.adapter.zero_grad(set_to_none=True)
        state = sum(weight.numel() * (weight.element_size() + MOMENTS[optimizer]) for weight in trained)
        working, flops = meter.peak, meter.flops * batch // together
        return Cost(self._weights, state + _size(kept), working, flops)

    def painting(self, batch: int, options: SamplerOptions) -> Cost:
        """Sampling of a batch of images; without what `reuse_adapter`, `reuse_blocks` and `max_loss` save.

        Args:
            batch: images.
            options: of the sampler.
        """
        self.adapter.eval().requires_grad_(False)
        tile = options.tile or max(self.height, self.width)
        one = replace(self, height=min(self.height, tile), width=min(self.width, tile))
        pixels = one.height * one.width
        decoded = min(batch, images_at_once(one.height, one.width))
        plain = one._step(batch, options, guided=False)
        guides = options.guidance_scale != NO_GUIDANCE
        guided = one._step(batch, options, guided=True) if guides else plain
        with torch.no_grad(), one._run() as last:
            self.base.decode_pixels(one._latents(decoded))
        first, end = options.guidance_interval
        step = plain.flops + (end - first) * (guided.flops - plain.flops)
        flops = (options.num_steps * step + last.flops * batch / decoded) * self.height * self.width / pixels
        weights = self._weights + _size(self.adapter.parameters())
        return Cost(weights, 0, max(guided.peak, last.peak), round(flops))

    def _step(self, batch: int, options: SamplerOptions, *, guided: bool) -> Meter:
        """A step of the sampler, with guidance or without."""
        always = options.model_copy(update={"guidance_interval": (0.0, 1.0)})
        with torch.no_grad(), self._run() as meter:
            latents, _, text, layout, k = self._inputs(batch)
            denoise = Denoiser(self.base, self.adapter, always, layout, k, text, text if guided else None)
            denoise(latents.to(next(self.base.network.parameters()).dtype), torch.tensor(0))
        return meter

    def encoding(self, batch: int) -> Cost:
        """Encoding of a batch of images by the autoencoder."""
        with torch.no_grad(), self._run() as meter:
            pixels = torch.empty(batch, 3, self.height, self.width, device="meta", dtype=self.base.vae.dtype)
            self.base.vae.encode(pixels)
        return Cost(self._weights, 0, meter.peak, meter.flops)

    @cached_property
    def _weights(self) -> int:
        return _size(weight for part in self.base.parts.values() for weight in part.parameters())

    def _latents(self, count: int) -> Tensor:
        stride = self.base.stride
        shape = (count, self.base.latent_channels, self.height // stride, self.width // stride)
        return torch.empty(shape, device="meta")

    def _inputs(self, count: int) -> tuple[Any, ...]:
        with torch.no_grad():
            text = self.base.embed([""] * count, self.height, self.width)
        channels = self.adapter.config.num_components
        layout = torch.empty(count, channels, self.height // STRIDE, self.width // STRIDE, device="meta")
        numbers = torch.empty(count, dtype=torch.int64, device="meta")
        return self._latents(count), numbers, text, layout, numbers

    def _denoised(self, latents: Tensor, levels: Tensor, text: Any, layout: Tensor, k: Tensor) -> Tensor:
        return self.base.denoise(latents, levels, text, self.adapter(latents, levels, text, layout, k))

    @contextmanager
    def _run(self, known: Iterable[Tensor] = ()) -> Iterator[Meter]:
        weights = [weight for part in self.base.parts.values() for weight in part.parameters()]
        meter = Meter([*weights, *self.adapter.parameters(), *known])
        with meter, self._kernels:
            yield meter

    @property
    def _kernels(self) -> Kernels:
        return Kernels(self.autocast)

    @contextmanager
    def _checkpointed(self) -> Iterator[None]:
        # What is computed again in the backward pass is not inside of the mode that is active around it.
        function = partial(
            checkpoint, use_reentrant=False, context_fn=lambda: (nullcontext(), self._kernels), preserve_rng_state=False
        )
        networks: tuple[Any, ...] = (self.adapter.controlnet, self.base.network)
        for network in networks:
            network.enable_gradient_checkpointing(function)
        try:
            yield
        finally:
            for network in networks:
                network.disable_gradient_checkpointing()


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
