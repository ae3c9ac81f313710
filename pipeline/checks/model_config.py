"""The configuration of a model, without its weights: from a folder, the hub's cache, or a small file of the hub."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augment.errors import UserError
from pipeline.checks.hub import HUB_SECONDS
from pipeline.workspace.model_files import model_folder


def read_model_config(key: str, name: str, file: str, remedy: str) -> Mapping[str, Any]:
    """A JSON file of a model.

    Args:
        key: of the configuration that names the model.
        name: a model of the zoo, a folder or a hub id.
        file: path below the model's top, e.g. `unet/config.json`.
        remedy: what to give instead where there is no such file.

    Raises:
        UserError: it is not there, or holds no JSON object.
    """
    folder = model_folder(name)
    path = folder / file if folder.is_dir() else hub_file(key, name, file, remedy)
    if not path.is_file():
        raise UserError(f"{key}={name}: it has no {file}: {remedy}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{key}={name}: {file} is no JSON ({error}): get the model again") from error
    if not isinstance(content, dict):
        raise UserError(f"{key}={name}: {file} holds no JSON object: get the model again")
    return content


def hub_file(key: str, name: str, file: str, remedy: str) -> Path:
    """A file of a model on the hub, fetched into the cache unless it is there.

    Raises:
        UserError: the hub does not give it, or the cache cannot be written.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HTTPError, LocalEntryNotFoundError

    cached = try_to_load_from_cache(name, file)
    if isinstance(cached, str):
        return Path(cached)
    require_writable("HF_HOME or HF_HUB_CACHE", Path(constants.HF_HUB_CACHE))
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    # It tells of each retry, and what matters is raised.
    logger.setLevel(logging.CRITICAL)
    try:
        return Path(hf_hub_download(name, file, etag_timeout=HUB_SECONDS))
    except LocalEntryNotFoundError as error:
        raise UserError(f"{key}={name}: {file} is not in the local cache, and the hub is out of reach") from error
    except EntryNotFoundError as error:
        raise UserError(f"{key}={name}: it has no {file}: {remedy}") from error
    except (HTTPError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{key}={name}: {file} cannot be fetched from the hub ({reason}): {remedy}") from error
    finally:
        logger.setLevel(level)


def require_writable(setting: str, folder: Path) -> None:
    """Check that a folder can be made, or written to where it exists; nothing is left behind.

    Raises:
        UserError: it cannot; the message names the environment variable that sets it.
    """
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".lumen-", dir=existing):
            return
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror or error}), and models are kept there: set {setting} to a "
            "folder that can"
        ) from error
