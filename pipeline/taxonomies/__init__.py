"""Taxonomies: the classes and colours of the ids in a label map, and mappings between them."""

from __future__ import annotations

from pipeline.taxonomies.ade20k import ADE20K
from pipeline.taxonomies.camvid import CAMVID, CAMVID32
from pipeline.taxonomies.cityscapes import BDD100K, CITYSCAPES
from pipeline.taxonomies.coco_stuff import COCO_STUFF
from pipeline.taxonomies.mapping import mapping_table, translate
from pipeline.taxonomies.registry import TAXONOMIES, named_taxonomy, taxonomy_entry, taxonomy_of_entry
from pipeline.taxonomies.taxonomy import Taxonomy, colorize, require_ids, train_id_table
from pipeline.taxonomies.user import taxonomy_of_classes

__all__ = [
    "ADE20K",
    "BDD100K",
    "CAMVID",
    "CAMVID32",
    "CITYSCAPES",
    "COCO_STUFF",
    "TAXONOMIES",
    "Taxonomy",
    "colorize",
    "mapping_table",
    "named_taxonomy",
    "require_ids",
    "taxonomy_entry",
    "taxonomy_of_classes",
    "taxonomy_of_entry",
    "train_id_table",
    "translate",
]
