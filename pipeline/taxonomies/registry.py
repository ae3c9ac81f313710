"""The taxonomies known by name, and how the manifest of a store records the taxonomy of its labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from augment.errors import UserError
from pipeline.taxonomies.ade20k import ADE20K
from pipeline.taxonomies.camvid import CAMVID, CAMVID32
from pipeline.taxonomies.cityscapes import CITYSCAPES
from pipeline.taxonomies.coco_stuff import COCO_STUFF
from pipeline.taxonomies.taxonomy import Taxonomy
from pipeline.taxonomies.user import taxonomy_from_json, taxonomy_to_json

TAXONOMIES: dict[str, Taxonomy] = {
    taxonomy.name: taxonomy for taxonomy in (CITYSCAPES, ADE20K, COCO_STUFF, CAMVID, CAMVID32)
}


def named_taxonomy(name: str) -> Taxonomy:
    """The taxonomy of that name; raises UserError for an unknown name."""
    if name not in TAXONOMIES:
        raise UserError(f"unknown taxonomy {name!r} (known: {', '.join(sorted(TAXONOMIES))})")
    return TAXONOMIES[name]


def taxonomy_entry(taxonomy: Taxonomy) -> str | dict[str, Any]:
    """The entry of a manifest for a taxonomy: its name if it is a known one, else the whole taxonomy as JSON."""
    return taxonomy.name if TAXONOMIES.get(taxonomy.name) == taxonomy else taxonomy_to_json(taxonomy)


def taxonomy_of_entry(entry: str | Mapping[str, Any]) -> Taxonomy:
    """The taxonomy of a manifest's entry, see `taxonomy_entry`; raises UserError for an unknown name or other JSON."""
    return named_taxonomy(entry) if isinstance(entry, str) else taxonomy_from_json(entry)
