"""The grid that latents and layouts share."""

from __future__ import annotations

# Pixels of an image, along each side, that one cell of a latent and of a layout covers.
STRIDE = 8
