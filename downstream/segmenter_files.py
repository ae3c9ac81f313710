"""Which segmenters there are, and where their configs are. It imports no torch: `lumen plan` checks a name first."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from augment.errors import UserError

# Table 6 of Xie et al., SegFormer, NeurIPS 2021: channels of the first stage / 32, and layers of the four
# stages.
SEGFORMER = {
    "segformer_mit-b0": (1, [2, 2, 2, 2]),
    "segformer_mit-b1": (2, [2, 2, 2, 2]),
    "segformer_mit-b2": (2, [3, 4, 6, 3]),
    "segformer_mit-b3": (2, [3, 4, 18, 3]),
    "segformer_mit-b4": (2, [3, 8, 27, 3]),
    "segformer_mit-b5": (2, [3, 6, 40, 3]),
}


def require_model(model: str) -> None:
    """Raise UserError if the model is unknown; its config is not read."""
    if model not in SEGFORMER:
        config_file(model)


def config_file(model: str) -> Path:
    """The config of a model other than SegFormer.

    Args:
        model: name of a config of mmsegmentation, or the path of one.

    Raises:
        UserError: there is none.
    """
    if model.endswith(".py"):
        path = Path(model)
        if not path.is_file():
            raise UserError(f"no mmsegmentation config at {path}")
        return path
    package = find_spec("mmseg")
    folders = (package and package.submodule_search_locations) or ()
    found = sorted(path for folder in folders for path in Path(folder, ".mim", "configs").rglob(f"{model}.py"))
    if not found:
        known = ", ".join(SEGFORMER)
        raise UserError(f"no model {model!r}: name {known}, a config of mmsegmentation, or the path of one")
    return found[0]
