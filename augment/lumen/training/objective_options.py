"""Options of the objective of an adapter. No torch here: the configuration imports this module."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from augment.options import Options

Share = Annotated[float, Field(ge=0, le=1)]


class ObjectiveOptions(Options):
    """What a training of the adapter minimises, and what it leaves out of a sample at random."""

    min_snr_gamma: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="bound on the signal-to-noise ratio that weighs a noise level, 5 in the paper of min-SNR; null "
        "weighs all alike. Of a velocity without any signal the weight is 0, so night scenes are learnt worse",
    )
    layout_dropout: Share = Field(default=0.1, description="share of the samples without a layout (k = 0)")
    all_components: Share = Field(
        default=0.3, description="share of the samples with all components; the others have a log-uniform k"
    )
    text_dropout: Share = Field(default=0.05, description="share of the samples with a layout that have no caption")
    text_dropout_without_layout: Share = Field(
        default=0.7, description="share of the samples without a layout that have no caption either"
    )
    consistency: float = Field(
        default=0,
        ge=0,
        description="weight of the layout that the predicted image has, compared with the one it was to have; 0 is "
        "off. A step takes about twice the time and memory, as it decodes images and encodes them with the backbone",
    )
    consistency_below: Share = Field(
        default=0.3, description="noise levels up to which it counts, as a share of all: above, the image is a blur"
    )


DEFAULT_OBJECTIVE = ObjectiveOptions()
