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
from augment.lumen.bases.families import OF_ADAPTERS
from pipeline.store import JSON, file_digest, fingerprint

# A key in the configuration of the first adapters that some lack; see `augment.lumen.adapter`.
GUARDED, GUARD = "LayoutControlNet", "down_block_types"
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
    if config.get("_class_name") not in OF_ADAPTERS:
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
    for network in ("unet", "transformer"):
        config = model_folder(base) / network / "config.json"
        if config.is_file():
            require_same_shape(adapter, base, json.loads(config.read_text()))


def require_same_shape(adapter: Path, base: str, network: Mapping[str, Any]) -> None:
    """Check that an adapter was made for a base model with this configuration of its network.

    Raises:
        UserError: it was not.
    """
    config = json.loads((adapter / "config.json").read_text())
    remedy = "name the base it was trained on, or train a new one with generator.adapter=null"
    family, found = OF_ADAPTERS[config["_class_name"]], config["controlnet_config"]
    if family.network != ("unet" if "block_out_channels" in network else "transformer"):
        raise UserError(
            f"generator.adapter: {adapter} steers a base like {family.title}, and generator.base={base} is of another "
            f"kind: {remedy}"
        )
    for name in family.shape:
        if found.get(name) != network.get(name):
            raise UserError(
                f"generator.adapter: {adapter} steers a base with {name} {found.get(name)}, and generator.base={base} "
                f"has {network.get(name)}: {remedy}"
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


def pinned_identity(name: str, recorded: JSON, file: str = "config.json") -> Mapping[str, JSON]:
    """The same, with the revision of a hub id: that of the existing result, or else the one in the hub's cache.

    Workers load that revision, so that a result is of one. Results of earlier versions know none, and stay as they are.

    Args:
        name: a hub id or folder.
        recorded: what an existing result has recorded of its model; None without one.
        file: that every such model has.
    """
    facts = identity(name)
    assert isinstance(facts, dict)
    if "digest" in facts:
        return facts
    if isinstance(recorded, dict) and recorded.get("name") == name:
        revision = recorded.get("revision")
    else:
        revision = _cached_revision(name, file)
    return {**facts, "revision": revision} if revision else facts


def _cached_revision(name: str, file: str) -> str | None:
    """The commit of a hub id in the hub's cache; None where it is not there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        path = try_to_load_from_cache(name, file)
    except HFValidationError:
        # Neither a folder nor a hub id: the checks of models say so.
        return None
    return Path(path).parent.name if isinstance(path, str) else None


def pinned_revision(model: Mapping[str, JSON]) -> str | None:
    """The revision to load, of what `pinned_identity` gave."""
    revision = model.get("revision")
    return revision if isinstance(revision, str) else None


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
        if isinstance(config, dict) and config.get("_class_name") == GUARDED and config.pop(GUARD, None):
            # As diffusers writes it.
            return hashlib.sha256((json.dumps(config, indent=2, sort_keys=True) + "\n").encode()).hexdigest()
    return file_digest(path)


def label(name: str) -> str:
    """A model's name with the digest of its content, `name@digest`; for a hub id the name alone."""
    facts = identity(name)
    assert isinstance(facts, dict)
    return f"{facts['name']}@{facts['digest']}" if "digest" in facts else str(facts["name"])
