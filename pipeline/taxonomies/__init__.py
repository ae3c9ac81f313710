"""What the ids in a label map mean."""

from __future__ import annotations

from pipeline.taxonomies.camvid import CAMVID
from pipeline.taxonomies.cityscapes import CITYSCAPES
from pipeline.taxonomies.taxonomy import Taxonomy, colorize

TAXONOMIES: dict[str, Taxonomy] = {taxonomy.name: taxonomy for taxonomy in (CITYSCAPES, CAMVID)}

__all__ = ["CAMVID", "CITYSCAPES", "TAXONOMIES", "Taxonomy", "colorize"]
