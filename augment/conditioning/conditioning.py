"""The protocol of conditionings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Conditioning(Protocol):
    """Turns images into the maps that an adapter reads.

    Maps have the grid of the latent, a cell for every 8 x 8 pixels, so that stores, adapters and samplers treat those
    of every kind as they treat neural layouts. Only the channels of a neural layout have an order: of the others, an
    adapter reads all or none.
    """

    @property
    def kind(self) -> str:
        """One of `ConditioningKind`."""
        ...

    @property
    def channels(self) -> int:
        """Number of channels K of a map."""
        ...

    @property
    def needs_labels(self) -> bool:
        """Whether `maps` reads labels."""
        ...

    def maps(self, images: NDArray[np.uint8], labels: NDArray[np.unsignedinteger] | None = None) -> NDArray[np.float16]:
        """Maps `float16 [B, K, H / 8, W / 8]` of RGB images `uint8 [B, H, W, 3]` and their labels `[B, H, W]`.

        Raises:
            UserError: the size is not a multiple of 8, or labels are missing or have other classes.
        """
        ...

    def facts(self) -> Mapping[str, Any]:
        """Kind, channels, and all else that the maps depend on, as JSON; an adapter records it."""
        ...
