"""The files of the model that a name in the configuration means, and their digest, without loading it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augment.backbones.options import FeatureOptions, parse_name, split_fusion
from augment.errors import UserError
from augment.import_path import is_import_path, source_file
from augment.lumen import zoo
from pipeline.store import JSON, file_digest, fingerprint

ADAPTER_CLASS = "LayoutControlNet"
# A key in the configuration of an adapter; see `augment.lumen.adapter`.
GUARD = "down_block_types"
MODEL_FILES = (".json", ".txt", ".model", ".safetensors", ".bin", ".pth", ".pt", ".ckpt")


def adapter_folder(name: str) -> Path:
    """Folder of the adapter `name`: that of a shipped model, or a path.

    Raises:
        UserError: there is no such folder.
    """
    folder = zoo.ZOO / name / "adapter" if name in zoo.names() else Path(name).expanduser().absolute()
    if not (folder / "config.json").is_file():
        raise UserError(f"generator.adapter: {folder} holds no layout adapter; give a folder that adapt wrote")
    return folder


def adapter_components(folder: Path) -> int:
    """Number of layout components that a saved adapter reads.

    Raises:
        UserError: it is another kind of model.
    """
    config = json.loads((folder / "config.json").read_text())
    if config.get("_class_name") != ADAPTER_CLASS:
        raise UserError(
            f"generator.adapter: {folder} holds a {config.get('_class_name', 'model')}, no layout adapter; "
            "give a folder that adapt wrote"
        )
    return int(config["num_components"])


def require_fit(adapter: Path, base: str) -> None:
    """Check that an adapter was made for a base model of this shape; one on a hub is not looked up.

    Raises:
        UserError: it was not.
    """
    config = model_folder(base) / "unet" / "config.json"
    if config.is_file():
        require_same_shape(adapter, base, json.loads(config.read_text()))


def require_same_shape(adapter: Path, base: str, unet: Mapping[str, Any]) -> None:
    """Check that an adapter was made for a base model with this configuration of its U-Net.

    Raises:
        UserError: it was not.
    """
    found = json.loads((adapter / "config.json").read_text())["controlnet_config"]
    for name in ("in_channels", "block_out_channels", "cross_attention_dim", "down_block_types", "layers_per_block"):
        if found.get(name) != unet.get(name):
            raise UserError(
                f"generator.adapter: {adapter} steers a base with {name} {found.get(name)}, and generator.base={base} "
                f"has {unet.get(name)}: name the base it was trained on, or train a new one with generator.adapter=null"
            )


def basis_digest(folder: Path) -> str:
    """Digest of a saved layout basis.

    Raises:
        UserError: there is none.
    """
    path = folder / "basis.json"
    if not path.is_file():
        raise UserError(f"{folder} holds no layout basis; use layout.basis=own, or another generator.adapter")
    return str(json.loads(path.read_text())["digest"])


def model_folder(name: str) -> Path:
    """Folder of a shipped or local model; for a hub id a path that does not exist."""
    return zoo.ZOO / name if name in zoo.names() else Path(name).expanduser()


def identity(name: str) -> JSON:
    """What identifies a model: the name and content of a folder or file, or the name alone of a hub id."""
    folder = model_folder(name)
    if folder.is_file():
        return {"name": folder.name, "digest": _model_digest(folder)}
    if not folder.is_dir():
        return {"name": name}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in MODEL_FILES)
    return {
        "name": folder.name,
        "digest": fingerprint({path.relative_to(folder).as_posix(): _model_digest(path) for path in files}),
    }


def backbone_identity(reference: str) -> JSON:
    """The same of a backbone with the settings that differ from their defaults, or of each backbone of a fusion.

    A backbone may be a user's own; of that it is the content of its module.

    Args:
        reference: see `BackboneOptions.reference`.
    """
    members = [_member_identity(*parse_name(member)) for member in split_fusion(reference)]
    return members[0] if len(members) == 1 else members


def _member_identity(name: str, settings: FeatureOptions) -> JSON:
    if is_import_path(name):
        return {"name": name, "digest": file_digest(source_file(name))}
    facts = identity(name)
    assert isinstance(facts, dict)
    return {**facts, **settings.changed}


def _model_digest(path: Path) -> str:
    """Digest of a model's file; an adapter's configuration counts without the key that makes other classes refuse it.

    Adapters that were saved before that key existed are the same models as those with it.
    """
    if path.name == "config.json":
        config = json.loads(path.read_text())
        if isinstance(config, dict) and config.get("_class_name") == ADAPTER_CLASS and config.pop(GUARD, None):
            # As diffusers writes it.
            return hashlib.sha256((json.dumps(config, indent=2, sort_keys=True) + "\n").encode()).hexdigest()
    return file_digest(path)


def label(name: str) -> str:
    """A model's name with the digest of its content, `name@digest`; for a hub id the name alone."""
    facts = identity(name)
    assert isinstance(facts, dict)
    return f"{facts['name']}@{facts['digest']}" if "digest" in facts else str(facts["name"])
