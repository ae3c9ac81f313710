"""Translate labels of one taxonomy to the classes of another, so that models of both sets can be compared."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from augment.errors import UserError
from pipeline.taxonomies.ade20k import ADE20K
from pipeline.taxonomies.camvid import CAMVID, CAMVID32, SEGNET_GROUPS
from pipeline.taxonomies.cityscapes import CITYSCAPES
from pipeline.taxonomies.coco_stuff import COCO_STUFF
from pipeline.taxonomies.taxonomy import Taxonomy, require_ids
from pipeline.taxonomies.to_cityscapes import ADE20K_GROUPS, CAMVID32_GROUPS, CAMVID_GROUPS, COCO_STUFF_GROUPS, Groups

# Nothing maps from Cityscapes, or through it from one of these to another: classes that it merges cannot be separated
# again, and most classes of the target would stay empty.
_GROUPS: dict[tuple[Taxonomy, Taxonomy], Groups] = {
    (CAMVID, CITYSCAPES): CAMVID_GROUPS,
    (CAMVID32, CITYSCAPES): CAMVID32_GROUPS,
    (CAMVID32, CAMVID): SEGNET_GROUPS,
    (ADE20K, CITYSCAPES): ADE20K_GROUPS,
    (COCO_STUFF, CITYSCAPES): COCO_STUFF_GROUPS,
}


@lru_cache
def mapping_table(source: Taxonomy, target: Taxonomy) -> NDArray[np.uint8 | np.uint16]:
    """The target's train id of every id of the source, its ignore index included: [source.ignore_index + 1].

    The array has the target's dtype; classes without a counterpart in the target are ignored. From a taxonomy to
    itself all ids stay. Raises UserError where no mapping between the two is known.
    """
    table = np.full(source.ignore_index + 1, target.ignore_index, target.dtype)
    if source == target:
        table[: len(source)] = np.arange(len(source))
    elif (source, target) in _GROUPS:
        for target_class, source_classes in _GROUPS[source, target].items():
            for source_class in source_classes:
                table[source.classes.index(source_class)] = target.classes.index(target_class)
    else:
        onward = sorted(there.name for here, there in _GROUPS if here == source)
        inward = sorted(here.name for here, there in _GROUPS if there == target)
        raise UserError(
            f"{source.name} labels have no counterpart in {target.name}: they can stay as they are"
            + (f" or become {' or '.join(onward)}" if onward else "")
            + f"; {', '.join(inward) or 'no other set'} can become {target.name}"
        )
    table.flags.writeable = False
    return table


def translate(
    label: NDArray[np.unsignedinteger], source: Taxonomy, target: Taxonomy
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Translate train ids of the source, 8 or 16 bits of any shape, to those of the target in its dtype.

    Classes without a counterpart become the target's ignore index. Raises UserError as `mapping_table` does, and for
    an id that is neither a class of the source nor its ignore index.
    """
    table = mapping_table(source, target)
    require_ids(label, source)
    return table[label]
