"""LoRAs for the base model, such as LCM-LoRA, which makes it paint in 4 to 8 steps."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from augment.errors import UserError
from augment.loading import quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from augment.lumen.adapter import Adapter
    from augment.lumen.bases.base import DiffusionModel

USUAL_FILE = "pytorch_lora_weights.safetensors"


def require_loras(names: Sequence[str]) -> None:
    """Check that LoRAs can be loaded; one on a hub is not looked up.

    Args:
        names: files, folders or hub ids.

    Raises:
        UserError: peft is not installed, or a folder holds none, or several.
    """
    if names and find_spec("peft") is None:
        raise UserError("generator.lora: LoRAs come with the lora extra (peft): pip install 'lumen-layouts[lora]'")
    for name in names:
        lora_file(name)


def lora_file(name: str) -> str:
    """The file of a LoRA in a folder; a hub id or a file unchanged.

    Raises:
        UserError: the folder holds none, or several.
    """
    folder = Path(name)
    if not folder.is_dir():
        return name
    found = sorted(folder.glob("*.safetensors"))
    usual = folder / USUAL_FILE
    if usual not in found and len(found) != 1:
        raise UserError(f"generator.lora: {folder} holds {len(found)} files *.safetensors: name one of them")
    return str(usual if usual in found else found[0])


def fuse_loras(base: DiffusionModel, adapter: Adapter, names: Sequence[str]) -> None:
    """Add LoRAs to the weights of a base model, in place, each at full strength.

    Args:
        base: the model that they are for.
        adapter: any adapter of it; it does not change.
        names: files, folders or hub ids.

    Raises:
        UserError: one cannot be loaded, or changes nothing in this base.
    """
    require_loras(names)
    pipeline = base.pipeline(adapter.controlnet)
    for name in names:
        try:
            with quiet():
                pipeline.load_lora_weights(lora_file(name))
                found = pipeline.get_list_adapters()
                pipeline.fuse_lora()
                pipeline.unload_lora_weights()
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise UserError(f"generator.lora: {name} cannot be loaded: {str(error).splitlines()[0]}") from error
        if not found:
            raise UserError(f"generator.lora: {name} changes no weight of {base.name!r}: it is for another base model")
