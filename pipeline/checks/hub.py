"""Check that a model exists: in a folder, in the cache of the model hub, or on the hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from augment.errors import UserError

HUB_SECONDS = 5.0


def require_reachable(key: str, name: str, file: str, own: Sequence[str], other_file: str | None = None) -> None:
    """Check that a model is in a folder, in the hub's cache or on the hub, with one request without retries.

    Args:
        key: the key of the configuration that names the model.
        name: a folder or a hub id.
        file: a file that every such model has; if the cache holds it, no request is made.
        own: names of models that need neither.
        other_file: a file that such a model may have instead.

    Raises:
        UserError: it was not found.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    # This is the HTTPError of the HTTP library that the installed hub client uses.
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    if name in own or Path(name).is_dir():
        return
    remedy = f"give a folder, a hub id or one of {', '.join(own)}" if own else "give a folder or a hub id"
    try:
        if any(isinstance(try_to_load_from_cache(name, one), str) for one in (file, other_file) if one):
            return
        found = HfApi().model_info(name, timeout=HUB_SECONDS)
    except HFValidationError as error:
        raise UserError(f"{key}={name}: no such folder, and no hub id: {remedy}") from error
    except GatedRepoError as error:
        raise UserError(f"{key}={name}: the hub requires that you accept its terms and log in") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"{key}={name}: no such folder, and the hub has no such model: {remedy}") from error
    except OfflineModeIsEnabled as error:
        raise UserError(
            f"{key}={name}: not in the local cache, and HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE disables the hub: unset "
            f"it, or {remedy}"
        ) from error
    except (HTTPError, OSError) as error:
        answer = "answers with an error" if isinstance(error, HfHubHTTPError) else "does not answer"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{key}={name}: not in the local cache, and the hub {answer} ({reason}): {remedy}") from error
    if {file, other_file}.isdisjoint(item.rfilename for item in found.siblings or ()):
        raise UserError(f"{key}={name}: that model on the hub has no {file}, so it is another kind of model: {remedy}")
