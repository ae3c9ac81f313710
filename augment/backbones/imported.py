"""Backbones of your own, by their import path: `my_package.my_module:MyBackbone`."""

from __future__ import annotations

from typing import Any

from augment.backbones.backbone import Backbone
from augment.errors import UserError
from augment.import_path import call_imported

# Annotations of a protocol, which an instance must have beside `features`.
_ATTRIBUTES = ("name", "revision", "channels", "features")


def load_imported(name: str, device: str) -> Backbone:
    """Import a backbone and make it: `MyBackbone(name, device)`.

    Args:
        name: `module:attribute`; the attribute is a class, or any function that returns a `Backbone`. Every worker
            imports it, so the module must be installed, or on PYTHONPATH, on all machines.
        device: torch device that the model is to run on.

    Raises:
        UserError: it cannot be imported or called, or what it gives is not a `Backbone`.
    """
    backbone: Any = call_imported(name, "backbone", name, device)
    if missing := [attribute for attribute in _ATTRIBUTES if not hasattr(backbone, attribute)]:
        raise UserError(
            f"backbone {name}: {type(backbone).__name__} has no {', '.join(missing)}: give it all that "
            "augment.backbones.Backbone lists"
        )
    result: Backbone = backbone
    return result
