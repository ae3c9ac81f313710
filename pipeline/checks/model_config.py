"""Read the configuration of a model without its weights, from a folder, the hub's cache or the hub."""

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


def read_model_config(key: str, name: str, file: str, remedy: str, revision: str | None = None) -> Mapping[str, Any]:
    """A JSON file of a model.

    Args:
        key: of the configuration that names the model.
        name: a model of the zoo, a folder or a hub id.
        file: path below the model's top, e.g. `unet/config.json`.
        remedy: advice for a model without this file.
        revision: commit of a hub id; None is the newest.

    Raises:
        UserError: the file is missing, or is no JSON object.
    """
    folder = model_folder(name)
    path = folder / file if folder.is_dir() else hub_file(key, name, file, remedy, revision)
    if not path.is_file():
        raise UserError(f"{key}={name}: it has no {file}: {remedy}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{key}={name}: {file} is no valid JSON ({error}): download it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{key}={name}: {file} is no JSON object: download it again")
    return content


def hub_file(key: str, name: str, file: str, remedy: str, revision: str | None = None) -> Path:
    """The cached path of a model's file on the hub, downloaded where it is not in the cache; see `read_model_config`.

    Raises:
        UserError: it cannot be downloaded, or the cache cannot be written.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HTTPError, LocalEntryNotFoundError

    cached = try_to_load_from_cache(name, file, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    require_writable("HF_HOME or HF_HUB_CACHE", Path(constants.HF_HUB_CACHE))
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    # It logs each retry; the error that is raised at the end says enough.
    logger.setLevel(logging.CRITICAL)
    try:
        return Path(hf_hub_download(name, file, revision=revision, etag_timeout=HUB_SECONDS))
    except LocalEntryNotFoundError as error:
        raise UserError(f"{key}={name}: {file} is not in the local cache, and the hub cannot be reached") from error
    except EntryNotFoundError as error:
        raise UserError(f"{key}={name}: it has no {file}: {remedy}") from error
    except (HTTPError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{key}={name}: {file} cannot be downloaded from the hub ({reason}): {remedy}") from error
    finally:
        logger.setLevel(level)


def require_writable(setting: str, folder: Path) -> None:
    """Check that a folder can be created, or written to where it exists; leaves nothing behind.

    Raises:
        UserError: it cannot; the message names the environment variable that sets the folder.
    """
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".lumen-", dir=existing):
            return
    except OSError as error:
        raise UserError(
            f"cannot write to {folder} ({error.strerror or error}), where models are cached: set {setting} to a "
            "writable folder"
        ) from error
