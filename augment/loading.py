"""Loading models of transformers and diffusers: complete, and without warnings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augment.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

# Parameters that published checkpoints may leave out, because no forward pass here reads them.
UNUSED = ("mask_token", "position_ids")


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back progress bars and warnings of transformers, and of diffusers if that is loaded; errors are raised."""
    from transformers.utils import logging as transformers_logging

    libraries = [transformers_logging]
    if "diffusers" in sys.modules:
        from diffusers.utils import logging as diffusers_logging

        libraries.append(diffusers_logging)
    levels = [library.get_verbosity() for library in libraries]
    bars = transformers_logging.is_progress_bar_enabled()
    for library in libraries:
        library.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def model_file(source: str, file: str, revision: str | None = None) -> Path | None:
    """A file of a local folder or of a model on the hub; None where it has none.

    What the cache knows is not asked for again.

    Args:
        source: the folder or hub id.
        file: its name.
        revision: commit of a hub id; None takes its newest.

    Raises:
        OSError: the file is not in the cache, and the hub cannot be reached.
    """
    if Path(source).is_dir():
        path = Path(source) / file
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache
    from transformers.utils import cached_file

    try:
        cached = try_to_load_from_cache(source, file, revision=revision)
    except ValueError as error:
        raise OSError(str(error)) from error
    if cached is not None:
        # Anything but a path says that the hub has no such file.
        return Path(cached) if isinstance(cached, str) else None
    found = cached_file(source, file, revision=revision, _raise_exceptions_for_missing_entries=False)
    return None if found is None else Path(found)


def load_whole(model_class: Any, source: Any, *, exact: bool = False, **options: Any) -> Any:
    """Load a model with `from_pretrained`, and refuse incomplete weights.

    Where torch's default device is `meta`, the model has shapes and no values, and only its configuration is read.

    Args:
        model_class: a model class of transformers or diffusers.
        source: hub id or local folder.
        exact: whether weights that the model does not have are refused too.
        options: passed on to `from_pretrained`.

    Raises:
        UserError: weights are missing; the libraries would initialize them at random, at most with a warning.
        OSError, ValueError: it cannot be loaded.
    """
    import torch

    if torch.get_default_device().type == "meta":
        return _without_weights(model_class, source, **options)
    with quiet():
        model, report = model_class.from_pretrained(source, output_loading_info=True, **options)
    missing = sorted(key for key in report["missing_keys"] if not key.endswith(UNUSED))
    if missing:
        raise UserError(
            f"{source}: the weights lack {len(missing)} tensors of {model_class.__name__}, the first is "
            f"{missing[0]!r}: get the whole model again"
        )
    if exact and (others := sorted(report["unexpected_keys"])):
        raise UserError(
            f"{source}: {len(others)} tensors of its weights are not those of {model_class.__name__}, the first is "
            f"{others[0]!r}: configuration and weights are of different models"
        )
    return model


def copy_weights(source: nn.Module, target: nn.Module, but: str) -> None:
    """Copy all weights by name, but those of one part, which each of the two has for itself.

    Args:
        source, target: modules.
        but: name of the part.

    Raises:
        UserError: the one has weights that the other lacks.
    """
    weights = {name: value for name, value in source.state_dict().items() if not name.startswith(f"{but}.")}
    left = target.load_state_dict(weights, strict=False)
    if odd := [*left.unexpected_keys, *(name for name in left.missing_keys if not name.startswith(f"{but}."))]:
        raise UserError(f"{len(odd)} weights are in only one of two models, the first is {odd[0]!r}")


def _without_weights(
    model_class: Any, source: Any, subfolder: str = "", revision: str | None = None, **dtype: torch.dtype
) -> Any:
    at = {"revision": revision} if revision else {}
    with quiet():
        if hasattr(model_class, "load_config"):
            # A model of diffusers.
            model = model_class.from_config(model_class.load_config(source, subfolder=subfolder or None, **at))
        else:
            model = model_class(model_class.config_class.from_pretrained(source, subfolder=subfolder, **at))
        return model.to(*dtype.values())
