"""What training and sampling take on one device, from the configurations of the models alone."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from augment.lumen.adapter import load_adapter
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.cost.kernels import Kernels
from augment.lumen.cost.meter import Meter
from augment.stride import STRIDE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from augment.lumen.adapter import LayoutControlNet
    from augment.lumen.bases.base import DiffusionModel
    from augment.lumen.options import OptimizerName

# Bytes for each weight: two moments of AdamW.
MOMENTS: dict[OptimizerName, int] = {"adamw": 8, "adamw8bit": 2}


@dataclass(frozen=True)
class Cost:
    """What one device is expected to take.

    Attributes:
        weights: bytes of the frozen models.
        state: bytes of the weights that are trained, their gradients and the state of their optimizer.
        working: bytes of everything else, the most at once.
        flops: floating-point operations of all samples that were asked for, in one step or one image each.
    """

    weights: int
    state: int
    working: int
    flops: int

    @property
    def memory(self) -> int:
        """Bytes in all."""
        return self.weights + self.state + self.working


@dataclass(frozen=True)
class Shapes:
    """Base model and adapter, with shapes and no values.

    Attributes:
        base: on `meta`.
        adapter: on `meta`, float32.
        height, width: of the images, in pixels.
        device: `cuda` or `cpu`, that the models would run on.
        precision: `bf16` or `fp32`.
    """

    base: DiffusionModel
    adapter: LayoutControlNet
    height: int
    width: int
    device: str = "cuda"
    precision: str = "bf16"

    @classmethod
    def of(cls, base: str, adapter: Path | None, num_components: int, *geometry: Any) -> Shapes:
        """Read the configurations of the models.

        Args:
            base: see `load_diffusion_model`.
            adapter: its folder; None is a new one.
            num_components: of a new adapter.
            geometry: height, width, and those that may follow.

        Raises:
            UserError: a configuration cannot be read.
        """
        model = load_diffusion_model(base, "meta")
        with torch.device("meta"):
            found = model.new_adapter(num_components) if adapter is None else load_adapter(adapter, "meta")
        return cls(model, found, *geometry)

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

    def painting(self, batch: int, guided: bool, steps: int, decoded: int) -> Cost:
        """Sampling of a batch.

        Args:
            batch: images.
            guided: whether each takes a second branch.
            steps: of the sampler.
            decoded: images that are decoded at once.
        """
        self.adapter.eval().requires_grad_(False)
        with torch.no_grad():
            with self._run() as step:
                latents, levels, text, layout, k = self._inputs(batch * (2 if guided else 1))
                self._denoised(latents, levels, text, layout, k)
            with self._run() as last:
                self.base.decode_pixels(self._latents(min(batch, decoded)))
        flops = steps * step.flops + last.flops * batch // min(batch, decoded)
        return Cost(self._weights + _size(self.adapter.parameters()), 0, max(step.peak, last.peak), flops)

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
        return Kernels(self.device, torch.bfloat16 if self.precision == "bf16" else None)

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
