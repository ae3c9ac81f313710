"""Which model a name in the configuration means, and what its bytes are, without loading it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from augment.backbones.imported import is_import_path, source_file
from augment.errors import UserError
from augment.lumen import zoo
from pipeline.store import JSON, file_digest, fingerprint

HUB_SECONDS = 5.0
ADAPTER_CLASS = "LayoutControlNet"
# Of an adapter's configuration; see `augment.lumen.adapter`.
GUARD = "down_block_types"
MODEL_FILES = (".json", ".txt", ".model", ".safetensors", ".bin", ".pth", ".pt", ".ckpt")


def adapter_folder(name: str) -> Path:
    """Folder of the adapter `name`: the one of a model of the zoo, or a path.

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
    """Where a model of the zoo or of a local folder lies; nowhere, for a hub id."""
    return zoo.ZOO / name if name in zoo.names() else Path(name).expanduser()


def require_reachable(key: str, name: str, file: str, own: Sequence[str]) -> None:
    """Check that a model is in a folder, in the hub's cache or on the hub, which is asked once and without retries.

    Args:
        key: of the configuration that names the model.
        name: a folder, a hub id or an import path.
        file: what every such model has at its top; where the cache holds that, the hub is not asked.
        own: names of models that need neither.

    Raises:
        UserError: it is nowhere.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    # HTTPError is that of the library which this version of the hub's client speaks through.
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    if name in own or is_import_path(name) or Path(name).is_dir():
        return
    remedy = f"give a folder, a hub id or one of {', '.join(own)}" if own else "give a folder or a hub id"
    try:
        if isinstance(try_to_load_from_cache(name, file), str):
            return
        found = HfApi().model_info(name, timeout=HUB_SECONDS)
    except HFValidationError as error:
        raise UserError(f"{key}={name}: no such folder, and no hub id: {remedy}") from error
    except GatedRepoError as error:
        raise UserError(f"{key}={name}: the hub gives it only to who accepts its terms and logs in there") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"{key}={name}: no such folder, and the hub has no such model: {remedy}") from error
    except OfflineModeIsEnabled as error:
        raise UserError(
            f"{key}={name}: not in the local cache, and HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids to ask the hub: "
            f"unset it, or {remedy}"
        ) from error
    except (HTTPError, OSError) as error:
        answer = "answers with an error" if isinstance(error, HfHubHTTPError) else "does not answer"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{key}={name}: not in the local cache, and the hub {answer} ({reason}): {remedy}") from error
    if file not in {item.rfilename for item in found.siblings or ()}:
        raise UserError(f"{key}={name}: that model on the hub has no {file}, so it is of another sort: {remedy}")


def identity(name: str) -> JSON:
    """What distinguishes a model: the name of a hub id, and the content too of a folder or of an imported module."""
    if is_import_path(name):
        return {"name": name, "digest": file_digest(source_file(name))}
    folder = model_folder(name)
    if not folder.is_dir():
        return {"name": name}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in MODEL_FILES)
    return {
        "name": folder.name,
        "digest": fingerprint({path.relative_to(folder).as_posix(): _model_digest(path) for path in files}),
    }


def _model_digest(path: Path) -> str:
    """Digest of a model's file; that of an adapter's configuration as it is without what makes other classes refuse it.

    Adapters that were saved before there was such a guard are the same models as those with it.
    """
    if path.name == "config.json":
        config = json.loads(path.read_text())
        if isinstance(config, dict) and config.get("_class_name") == ADAPTER_CLASS and config.pop(GUARD, None):
            # As diffusers writes it.
            return hashlib.sha256((json.dumps(config, indent=2, sort_keys=True) + "\n").encode()).hexdigest()
    return file_digest(path)


def label(name: str) -> str:
    """A model's name with the digest of its content, `name@digest`; the name alone of a hub id."""
    facts = identity(name)
    assert isinstance(facts, dict)
    return f"{facts['name']}@{facts['digest']}" if "digest" in facts else str(facts["name"])
