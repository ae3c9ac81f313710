"""The neural layout as a conditioning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from augment.conditioning.options import LAYOUT
from augment.layouts.extraction import extract_layouts

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from augment.backbones.backbone import Backbone
    from augment.layouts.basis import LayoutBasis


@dataclass(frozen=True)
class NeuralLayout:
    """The features of a backbone, projected on the first components of a basis."""

    backbone: Backbone
    basis: LayoutBasis
    channels: int
    kind: ClassVar[str] = LAYOUT
    needs_labels: ClassVar[bool] = False

    @classmethod
    def load(cls, backbone: str, basis: Path, num_components: int, device: str = "cpu") -> NeuralLayout:
        """Load a backbone by name, and the basis in a folder."""
        from augment.backbones import load_backbone
        from augment.layouts.basis import LayoutBasis

        return cls(load_backbone(backbone, device), LayoutBasis.load(basis), num_components)

    def maps(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.unsignedinteger] | None = None,  # noqa: ARG002 - see `Conditioning`
    ) -> NDArray[np.float16]:
        """See `extract_layouts`."""
        return extract_layouts(images, self.backbone, self.basis, self.channels)

    def facts(self) -> Mapping[str, Any]:
        """Kind, channels, and the digest of the basis, which covers the backbone."""
        return {"kind": self.kind, "channels": self.channels, "basis": self.basis.digest}
