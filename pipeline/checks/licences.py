"""The models of a run, and whether their licences allow what it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from augment.conditioning import LAYOUT
from augment.model_licences import require_licences

if TYPE_CHECKING:
    from pipeline.config import Config


@dataclass(frozen=True)
class Model:
    """A model that the images depend on: its key in the configuration, its name, and what it did."""

    key: str
    name: str
    role: str


def models_of(config: Config) -> list[Model]:
    """The models that the images of a run depend on, those that paint first."""
    generator = config.generator
    found = [Model("generator.base", generator.base, "paints the images")]
    found += [Model("generator.lora", name, "changes how they are painted") for name in generator.lora]
    if generator.adapter is not None:
        found.append(Model("generator.adapter", generator.adapter, "the adapter that the run started from"))
    if config.adapt.steps and config.adapt.controlnet is not None:
        found.append(Model("adapt.controlnet", config.adapt.controlnet, "the ControlNet that the adapter began as"))
    if config.conditioning == LAYOUT:
        name = config.backbone.name
        names = (name,) if isinstance(name, str) else name
        found += [Model("backbone.name", one, "gives the layouts that they are painted on") for one in names]
    elif config.conditioning == "depth" and config.depth.model is not None:
        found.append(Model("depth.model", config.depth.model, "gives the depth that they are painted on"))
    if config.captions.model is not None:
        found.append(Model("captions.model", config.captions.model, "describes the source images"))
    return found


def require_licensed(config: Config) -> None:
    """Check that the licences of the models allow what the run is for; see `augment.model_licences`.

    Raises:
        UserError: one is known not to.
    """
    require_licences(((model.key, model.name) for model in models_of(config)), config.licences)
