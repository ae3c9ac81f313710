"""Import mmsegmentation where mmcv has no compiled operators."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import NoReturn

from augment.layouts.fog import albumentations

_COMPILED_OPS = "mmcv._ext"
_MMSEG_PARTS = ("mmseg.models", "mmseg.datasets", "mmseg.engine", "mmseg.evaluation", "mmseg.visualization")
_lock = threading.Lock()


class MissingOperator(RuntimeError):  # noqa: N818 - it says what is wrong
    """A model has called an operator that this installation of mmcv does not have."""


class _MissingOps(ModuleType):
    """Has every attribute that mmcv looks up; each is a function that raises MissingOperator."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        # Dunder look-ups come from the import system, which must see a module without them.
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_args: object, **_kwargs: object) -> NoReturn:
            raise MissingOperator(
                f"mmcv's compiled operator {name!r} was called, but the installed mmcv has none (mmcv-lite): "
                "install mmcv with its operators, or choose a model that needs none, such as SegFormer"
            )

        return missing


@contextmanager
def _placeholder_for_missing_ops() -> Iterator[None]:
    """Let ``import mmcv._ext`` succeed inside the block if the real module is missing.

    It must be gone afterwards: mmengine later checks with ``pkgutil.find_loader`` whether the real one exists.
    """
    if _COMPILED_OPS in sys.modules or importlib.util.find_spec(_COMPILED_OPS) is not None:
        yield
        return
    mmcv = importlib.import_module("mmcv")
    sys.modules[_COMPILED_OPS] = _MissingOps(_COMPILED_OPS)
    try:
        yield
    finally:
        del sys.modules[_COMPILED_OPS]
        # Importing a submodule also binds it on its parent package.
        if isinstance(vars(mmcv).get("_ext"), _MissingOps):
            del mmcv._ext


@contextmanager
def mmseg_scope() -> Iterator[None]:
    """Inside the block, registries resolve the names of mmsegmentation's components."""
    import_mmseg()
    registry = importlib.import_module("mmengine.registry")
    with registry.DefaultScope.overwrite_default_scope("mmseg"):
        yield


def import_mmseg() -> ModuleType:
    """Import mmsegmentation with its models, datasets, transforms and metrics registered; return ``mmseg``.

    A second call costs nothing. ``mmcv._ext`` is not importable afterwards unless it really exists.
    """
    with _lock, _placeholder_for_missing_ops(), warnings.catch_warnings():
        # mmcv and mmseg warn about their own deprecated imports, which the user cannot change.
        warnings.simplefilter("ignore")
        # mmsegmentation imports it too, with a look on the network for a newer version.
        albumentations()
        for part in _MMSEG_PARTS:
            importlib.import_module(part)
        return importlib.import_module("mmseg")
