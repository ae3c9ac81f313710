"""Vision transformers with a token for each patch, through transformers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from augment.backbones.encoder import Encoder, wrong_grid
from augment.backbones.patch_grid import resize_to_patches
from augment.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Names of the linear layers of an attention in different versions of transformers.
PROJECTIONS = {"query": ("q_proj", "query"), "key": ("k_proj", "key"), "value": ("v_proj", "value")}


class TransformerBackbone(Encoder):
    """Patch tokens of a layer of a vision transformer, after its final normalisation, or a facet of its attention.

    CLIP and C-RADIO do not normalise their patch tokens at the end: theirs are the output of the layer.
    Class and register tokens are dropped. Patch tokens with an outlying norm (more than four median absolute
    deviations above the image's median) are scaled back to that bound: they carry global state, not the patch. Keys
    and queries are those before a rotary position embedding; their heads are side by side.
    """

    def __init__(self, *arguments: Any) -> None:
        """See `Encoder`."""
        super().__init__(*arguments)
        self._prefix_tokens = self._family.prefix_tokens(self._config)
        self._layers = layers_of(self._model, self._config.num_hidden_layers)
        # The final normalisation then follows the layer, and those after it take no time and no memory.
        del self._layers[self.layer + 1 :]
        facet = self.settings.facet
        self._projection = None if facet == "token" else projection_of(self._layers[-1], facet)

    def _cells(self, pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        if self._projection is None:
            tokens = self._run(pixels)
        else:
            with collecting([self._projection]) as outputs:
                self._run(pixels)
            tokens = outputs[0]
        tokens = tokens[:, self._prefix_tokens :]
        if tokens.shape[1] != rows * columns:
            raise wrong_grid(self.name, tokens.shape[1], rows, columns)
        tokens = clip_outliers(tokens.float())
        return tokens.transpose(1, 2).reshape(len(pixels), self.channels, rows, columns)

    def layer_tokens(self, pixels: torch.Tensor, depth: int, stride: int = 8) -> list[torch.Tensor]:
        """See `Backbone.layer_tokens`; the tokens include class and register tokens.

        Raises:
            UserError: the model has fewer layers.
        """
        if depth > len(self._layers):
            raise UserError(f"backbone {self.name!r} has {len(self._layers)} layers, and {depth} are needed")
        pixels = resize_to_patches(pixels, self.patch, stride, *self._normalisation).to(self._dtype)
        with collecting(self._layers[:depth], stop=True) as outputs:
            self._run(pixels)
        return outputs

    def _run(self, pixels: torch.Tensor) -> torch.Tensor:
        """The last hidden state `[B, N, C]` of the encoder."""
        batch, _, height, width = pixels.shape
        rows, columns = height // self.patch, width // self.patch
        arguments: dict[str, Any] = {"pixel_values": pixels}
        if self._family.call == "asked":
            arguments["interpolate_pos_encoding"] = True
        elif self._family.call == "unmasked":
            # The patches are sorted by this noise, and so stay in their order; no share of them is masked.
            noise = torch.arange(rows * columns, device=pixels.device, dtype=torch.float32)
            arguments |= {"interpolate_pos_encoding": True, "noise": noise.expand(batch, -1)}
        elif self._family.call == "patches":
            patches = to_patches(pixels, self.patch)
            every = torch.ones(patches.shape[:2], device=pixels.device, dtype=torch.long)
            shapes = torch.tensor([[rows, columns]] * batch)
            arguments = {"pixel_values": patches, "pixel_attention_mask": every, "spatial_shapes": shapes}
        return self._model(**arguments).last_hidden_state


class _StoppedError(Exception):
    """Ends the forward pass of a model after the last output that is collected."""


@contextmanager
def collecting(modules: Any, *, stop: bool = False) -> Iterator[list[torch.Tensor]]:
    """Collect the outputs of modules in the order in which they run; `stop` ends the block after the last of them."""
    modules = list(modules)
    outputs: list[torch.Tensor] = []

    def collect(_module: Any, _arguments: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)
        if stop and len(outputs) == len(modules):
            raise _StoppedError

    handles = [module.register_forward_hook(collect) for module in modules]
    try:
        yield outputs
    except _StoppedError:
        return
    finally:
        for handle in handles:
            handle.remove()


def layers_of(model: torch.nn.Module, depth: int) -> torch.nn.ModuleList:
    """The list of the layers of a transformer, of which the library's classes keep it in different places."""
    found = [part for part in model.modules() if isinstance(part, torch.nn.ModuleList) and len(part) == depth]
    assert found, f"{type(model).__name__} keeps no list of {depth} layers"
    return found[0]


def projection_of(layer: torch.nn.Module, facet: str) -> torch.nn.Module:
    """The linear layer that gives the keys, queries or values of a layer's attention."""
    parts = {name.rpartition(".")[2]: part for name, part in layer.named_modules()}
    found = [parts[name] for name in PROJECTIONS[facet] if name in parts]
    assert found, f"{type(layer).__name__} has no linear layer for its {facet}"
    return found[0]


def to_patches(pixels: torch.Tensor, patch: int) -> torch.Tensor:
    """Cut `[B, 3, H, W]` into patches `[B, N, patch * patch * 3]`, row by row, channels last."""
    batch, channels, height, width = pixels.shape
    grid = pixels.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, patch * patch * channels)


def clip_outliers(tokens: torch.Tensor, deviations: float = 4.0) -> torch.Tensor:
    """Scale tokens `float [B, N, C]` with an outlying norm back to median + `deviations` x MAD of their image."""
    norms = tokens.norm(dim=-1, keepdim=True)
    median = norms.median(dim=1, keepdim=True).values
    mad = (norms - median).abs().median(dim=1, keepdim=True).values
    bound = median + deviations * 1.4826 * mad
    return tokens * torch.where(norms > bound, bound / norms, torch.ones_like(norms))
