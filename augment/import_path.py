"""Import paths such as `my_package.my_module:MyClass`, by which options name code of the user."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from augment.errors import UserError

_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_REMEDY = "give module:Class of a module that is installed, or whose folder is on PYTHONPATH on every worker"


def is_import_path(name: str) -> bool:
    """Whether a name is an import path; no hub id and hardly any folder has a colon in it."""
    return _IMPORT_PATH.fullmatch(name) is not None


def import_callable(name: str, role: str) -> Callable[..., Any]:
    """Import the class or function at an import path.

    Args:
        name: the import path.
        role: what it is for, in messages, such as `backbone`.

    Raises:
        UserError: the module cannot be imported, or has no such class or function.
    """
    module, _, attributes = name.partition(":")
    try:
        found: Any = import_module(module)
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
    # A module of the user may raise anything.
    except Exception as error:
        raise UserError(f"{role} {name} cannot be imported ({type(error).__name__}: {error}): {_REMEDY}") from error
    if not callable(found):
        raise UserError(f"{role} {name} is a {type(found).__name__} and not callable: name a class or a function")
    made: Callable[..., Any] = found
    return made


def call_imported(name: str, role: str, *arguments: object) -> Any:
    """Call the class or function at an import path; raises UserError if it does not take the arguments."""
    made = import_callable(name, role)
    try:
        return made(*arguments)
    except TypeError as error:
        given = ", ".join(type(argument).__name__ for argument in arguments)
        raise UserError(f"{role} {name} cannot be called with ({given}): {error}") from error


def source_file(name: str) -> Path:
    """The file of the module at an import path, which is not imported itself.

    Raises:
        UserError: there is no such module, or it has no file.
    """
    module = name.partition(":")[0]
    try:
        spec = find_spec(module)
    # A module without a specification, such as __main__, gives a ValueError.
    except (ImportError, ValueError) as error:
        raise UserError(f"{name}: {error}: {_REMEDY}") from error
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise UserError(f"{name}: no module {module!r} with a file: {_REMEDY}")
    return Path(spec.origin)
