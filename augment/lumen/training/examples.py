"""What an adapter is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Example:
    """One training sample.

    Attributes:
        image: `uint8 [H, W, 3]`.
        layout: `float16 [K, h, w]`.
        caption: text for the image.
        views: `float16 [V, K, h, w]`, the layouts of photometric copies of the image; None without any.
    """

    image: NDArray[np.uint8]
    layout: NDArray[np.float16]
    caption: str
    views: NDArray[np.float16] | None = None

    def layout_of(self, view: int | None) -> NDArray[np.float16]:
        """The layout `float16 [K, h, w]` of a view, or that of the image where it is None."""
        if view is None:
            return self.layout
        assert self.views is not None
        return self.views[view]


class Examples(Protocol):
    """Random access to training examples, all of one size."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...
