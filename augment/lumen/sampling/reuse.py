"""Reuse across steps: what changes slowly from one step to the next is computed at some of them only.

That is what the adapter adds, and the deep blocks of a U-Net as in DeepCache, Ma et al.,
https://arxiv.org/abs/2312.00858. Which steps compute them depends on their number alone, so that an image does not
depend on its batch mates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from augment.errors import UserError

if TYPE_CHECKING:
    import torch

    from augment.lumen.bases.base import DiffusionModel, Residuals
    from augment.lumen.bases.text import Text
    from augment.lumen.layout_encoder import EmbeddedLayout
    from augment.lumen.sampling.denoiser import Adapter, Denoiser


def has_deep_blocks(base: DiffusionModel) -> bool:
    """Whether the base has a U-Net with blocks between its first and its last."""
    down, middle = getattr(base.network, "down_blocks", ()), getattr(base.network, "mid_block", None)
    return len(down) > 1 and middle is not None


def deep_blocks(base: DiffusionModel) -> list[nn.Module]:
    """The blocks of a U-Net between its first and its last, which work on smaller maps.

    Raises:
        UserError: the base has no U-Net with such blocks.
    """
    if not has_deep_blocks(base):
        raise UserError(
            f"generator.reuse_blocks: the base model {base.name!r} has no U-Net with deep blocks: set "
            "generator.reuse_blocks=1"
        )
    network: Any = base.network
    return [*network.down_blocks[1:], network.mid_block, *network.up_blocks[:-1]]


class ReusingDenoiser:
    """Predicts the latents of one batch, step after step, and keeps what it computed for the next steps.

    All is computed where guidance begins or ends, because another number of branches is predicted then.
    """

    def __init__(self, denoiser: Denoiser, adapter_steps: int, block_steps: int) -> None:
        """Begin a batch.

        Args:
            denoiser: of the batch.
            adapter_steps, block_steps: the adapter, or the deep blocks, run at one in so many steps; 1 is all.

        Raises:
            UserError: the base has no deep blocks, and `block_steps` is more than 1.
        """
        self._adapter = _KeptResiduals(denoiser.adapter)
        self._denoiser = replace(denoiser, adapter=self._adapter)
        self._adapter_steps, self._block_steps = adapter_steps, block_steps
        self._blocks = deep_blocks(denoiser.base) if block_steps > 1 else []
        self._outputs: list[Any] = []
        self._step, self._guides = 0, False

    def __call__(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The prediction, of the shape of the latents."""
        guides = self._denoiser.guides(timestep)
        if guides != self._guides:
            self._step, self._guides = 0, guides
        self._adapter.begin(again=self._step % self._adapter_steps == 0)
        blocks = (
            kept(self._blocks, self._outputs)
            if self._step % self._block_steps
            else keeping(self._blocks, self._outputs)
        )
        self._step += 1
        with blocks:
            return self._denoiser(latents, timestep)


class _KeptResiduals:
    """An adapter that may give what it gave at an earlier step."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._residuals: Residuals | None = None

    def begin(self, *, again: bool) -> None:
        """Begin a step, which runs the adapter again or not."""
        if again:
            self._residuals = None

    def embed(self, layout: torch.Tensor, k: torch.Tensor, sample: torch.Tensor) -> EmbeddedLayout:
        """See `Adapter.embed`."""
        return self._adapter.embed(layout, k, sample)

    def residuals(self, sample: torch.Tensor, timestep: torch.Tensor, text: Text, planes: EmbeddedLayout) -> Residuals:
        """The residuals of this step."""
        if self._residuals is None:
            self._residuals = self._adapter.residuals(sample, timestep, text, planes)
        return self._residuals


@contextmanager
def keeping(blocks: Sequence[nn.Module], outputs: list[Any]) -> Iterator[None]:
    """Put the outputs of blocks into a list, in the order in which they run."""
    outputs.clear()
    with ExitStack() as stack:
        for block in blocks:
            stack.callback(block.register_forward_hook(lambda _block, _inputs, output: outputs.append(output)).remove)
        yield


@contextmanager
def kept(blocks: Sequence[nn.Module], outputs: Sequence[Any]) -> Iterator[None]:
    """Let blocks give these outputs, and not run."""
    with ExitStack() as stack:
        for block, output in zip(blocks, outputs, strict=True):
            # An attribute of the object hides the method of its class.
            block.forward = lambda *_, output=output, **__: output
            stack.callback(delattr, block, "forward")
        yield
