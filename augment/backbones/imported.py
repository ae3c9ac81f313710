"""Backbones of your own, by their import path: `my_package.my_module:MyBackbone`."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from augment.backbones.backbone import Backbone
from augment.errors import UserError

_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
# Annotations of a protocol, which an instance must have beside `features`.
_ATTRIBUTES = ("name", "revision", "channels", "features")


def is_import_path(name: str) -> bool:
    """Whether a backbone's name is an import path; no hub id and no folder of a model holds a colon."""
    return _IMPORT_PATH.fullmatch(name) is not None


def load_imported(name: str, device: str) -> Backbone:
    """Import a backbone and make it: `MyBackbone(name, device)`.

    Args:
        name: `module:attribute`; the attribute is a class, or any function that returns a `Backbone`. Every worker
            imports it, so the module must be installed, or on PYTHONPATH, on all machines.
        device: torch device that the model is to run on.

    Raises:
        UserError: it cannot be imported, or what it gives is not a `Backbone`.
    """
    backbone: Any = import_factory(name)(name, device)
    if missing := [attribute for attribute in _ATTRIBUTES if not hasattr(backbone, attribute)]:
        raise UserError(
            f"backbone {name!r}: {type(backbone).__name__} has no {', '.join(missing)}: give it all that "
            "augment.backbones.Backbone lists"
        )
    result: Backbone = backbone
    return result


def import_factory(name: str) -> Any:
    """The class or function at an import path.

    Raises:
        UserError: there is none.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"backbone {name!r} cannot be imported ({error}): give 'module:class' of a module that is installed, or "
            "whose folder is on PYTHONPATH"
        ) from error
    if not callable(found):
        raise UserError(f"backbone {name!r} is not callable: name a class, or a function that returns a backbone")
    return found


def source_file(name: str) -> Path:
    """The file of the module at an import path, which is not imported itself.

    Raises:
        UserError: there is no such module, or it has no file.
    """
    module = name.partition(":")[0]
    try:
        spec = find_spec(module)
    except ImportError as error:
        raise UserError(f"backbone {name!r}: {error}: install the package, or put its folder on PYTHONPATH") from error
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise UserError(
            f"backbone {name!r}: no module {module!r} with a file: install it, or put its folder on PYTHONPATH"
        )
    return Path(spec.origin)
