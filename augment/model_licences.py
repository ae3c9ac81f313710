"""Licences of known models, and what each says of training other models on what the model makes.

As of November 2026, and no legal advice. Weights that are published again may have other terms than their family.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from augment.errors import UserError
from augment.options import Options


class LicenceOptions(Options):
    """What the licences of models and of the dataset must allow."""

    commercial: bool = Field(
        default=False,
        description="whether the images, or what is trained on them, are for commercial use; then a run refuses models "
        "and datasets that are known to be for non-commercial use alone",
    )
    accepted: tuple[str, ...] = Field(
        default=(),
        description="names of models, or dataset.kind, as configured, that you have a licence of your own for",
    )
    dataset: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="licence of your dataset for the cards of synthetic stores, such as 'CC BY 4.0, https://...'; it "
        "counts in place of the one known of dataset.kind, also for commercial use",
    )


@dataclass(frozen=True)
class ModelLicence:
    """Licence of a family of models.

    Attributes:
        licence: its name.
        terms: URL of its text.
        outputs: what it says of training other models on what the model makes: images, features, labels or weights.
        commercial: whether commercial use is allowed; None if it is under conditions.
    """

    licence: str
    terms: str
    outputs: str
    commercial: bool | None = True


_FREE = "may be trained on"
_RAIL = ModelLicence(
    "CreativeML Open RAIL-M",
    "https://huggingface.co/spaces/CompVis/stable-diffusion-license",
    f"{_FREE}, within the use restrictions of the licence, which also bind what is made from it",
)
_RAIL_PLUS = ModelLicence(
    "CreativeML Open RAIL++-M",
    "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
    _RAIL.outputs,
)
_STABILITY = ModelLicence(
    "Stability AI Community License",
    "https://stability.ai/license",
    "may be trained on, but not to make or improve a foundational generative model",
    None,
)
_APACHE = ModelLicence("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0", _FREE)
_NON_COMMERCIAL = ModelLicence(
    "CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/", f"{_FREE}, not commercially", False
)
# A pattern for the last two parts of a hub id or path; the first one that is found counts.
_LEDGER: tuple[tuple[str, ModelLicence], ...] = (
    (r"control_v11", _RAIL),
    (r"depth-anything-v2-small", _APACHE),
    (r"depth-anything-v2-(base|large)", _NON_COMMERCIAL),
    (r"lumen-tiny", _APACHE),
    (r"sd(xl)?-turbo|stable-diffusion-3", _STABILITY),
    (r"stable-diffusion-(2|xl)|sdxl-(base|refiner)", _RAIL_PLUS),
    (r"stable-diffusion-(v?1)", _RAIL),
    (
        r"dinov3",
        ModelLicence("DINOv3 License", "https://ai.meta.com/resources/models-and-libraries/dinov3-license/", _FREE),
    ),
    (r"dinov2|siglip|tips-?v2|sam2?[.\d]*-(vit|hiera)", _APACHE),
    (r"clip-vit", ModelLicence("MIT", "https://github.com/openai/CLIP/blob/main/LICENSE", _FREE)),
    (
        r"c-radio",
        ModelLicence(
            "NVIDIA Open Model License",
            "https://www.nvidia.com/en-us/agreements/enterprise-software/nvidia-open-model-license/",
            _FREE,
        ),
    ),
    (
        r"\b(e-)?radio(v\d|\b)",
        ModelLicence(
            "NVIDIA NSCLv1", "https://github.com/NVlabs/RADIO/blob/main/LICENSE", f"{_FREE}, not commercially", False
        ),
    ),
    (r"vit-?mae", _NON_COMMERCIAL),
    # Weights for segmenters. Those of OpenMMLab for SegFormer's encoder are these too, in another format.
    (
        r"segformer|(^|[^a-z])mit[-_]?b[0-5]",
        ModelLicence(
            "NVIDIA Source Code License for SegFormer",
            "https://github.com/NVlabs/SegFormer/blob/master/LICENSE",
            f"{_FREE}, for research and evaluation, not commercially; also what is trained from these weights",
            False,
        ),
    ),
)


def licence_of(model: str) -> ModelLicence | None:
    """The licence of a model by its name, a hub id or the path of a folder; None if it is not known."""
    name = "/".join(model.rstrip("/").lower().split("/")[-2:])
    return next((licence for pattern, licence in _LEDGER if re.search(pattern, name)), None)


def require_licences(models: Iterable[tuple[str, str]], options: LicenceOptions) -> None:
    """Check that the licences of models allow what the run is for.

    Args:
        models: key of the configuration and name of each model.
        options: what must be allowed.

    Raises:
        UserError: commercial use is asked for, and a model is known to be for non-commercial use alone.
    """
    for key, model in models:
        known = licence_of(model)
        if known is not None and known.commercial is False:
            refuse_commercial(key, model, known.licence, known.terms, options)


def refuse_commercial(key: str, name: str, licence: str, terms: str, options: LicenceOptions) -> None:
    """Raise UserError where commercial use is asked for, of something that is for non-commercial use alone.

    Args:
        key: key of the configuration that names it.
        name: a model or a kind of dataset.
        licence: the name of its licence.
        terms: URL of the licence.
        options: what must be allowed, and for which names the user has a licence of their own.
    """
    if options.commercial and name not in options.accepted:
        raise UserError(
            f"{key}={name} is licensed for non-commercial use alone ({licence}, {terms}), and licences.commercial is "
            f"true: take another one, or, with a licence of your own for it, add licences.accepted=['{name}']"
        )
