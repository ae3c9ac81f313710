"""The models and the dataset of a run, and whether their licences allow what it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from augment.conditioning import LAYOUT
from augment.model_licences import refuse_commercial, require_licences
from pipeline.datasets.licences import dataset_licence

if TYPE_CHECKING:
    from pipeline.config import Config


@dataclass(frozen=True)
class Model:
    """A model that the images, labels or segmenters depend on: its key in the configuration, its name, its part."""

    key: str
    name: str
    role: str


def models_of(config: Config) -> list[Model]:
    """The models that the images and segmenters of a run depend on, those that paint first."""
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
    if config.downstream.pretrained is not None:
        found.append(
            Model("downstream.pretrained", str(config.downstream.pretrained), "weights that segmenters start from")
        )
    return found


def require_licensed(config: Config) -> None:
    """Check that the licences of the models and of the dataset allow what the run is for.

    See `augment.model_licences` and `pipeline.datasets.licences`.

    Raises:
        UserError: one is known not to.
    """
    options, kind = config.licences, config.dataset.kind
    require_licences(((model.key, model.name) for model in models_of(config)), options)
    known = dataset_licence(kind)
    if options.dataset is None and known is not None and known.commercial is False:
        refuse_commercial("dataset.kind", kind, known.licence, known.terms, options)
