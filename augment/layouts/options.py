"""Options of layout bases. No torch here: the configuration imports this module."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from augment.options import Options

BasisKind = Literal["pca", "invariant"]
# Options that a basis of kind 'pca' does not depend on.
INVARIANT_ONLY = frozenset({"copies", "epsilon", "without_position"})
# Shares of the best mean IoU of a linear probe, at which ks are recommended.
SHARES = (0.8, 0.95, 0.99)


class BasisOptions(Options):
    """How a basis for layouts is fitted."""

    basis_kind: BasisKind = Field(
        default="invariant",
        description="'invariant' prefers what photometric copies of an image leave unchanged, 'pca' what varies most",
    )
    standardize: bool = Field(
        default=True, description="give all images the same brightness, contrast and white balance before encoding"
    )
    copies: int = Field(default=4, ge=1, le=64, description="photometric copies of each image ('invariant' only)")
    epsilon: float = Field(
        default=0.3,
        gt=0,
        le=1e6,
        description="large values approach 'pca', small ones ignore all that copies change ('invariant' only)",
    )
    without_position: bool = Field(
        default=False, description="suppress what the position in the image explains too ('invariant' only)"
    )
