"""The label ids that rendered scenes use, and the colours and instance classes of Cityscapes."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from pipeline.taxonomies.cityscapes import LABELS


class LabelId(IntEnum):
    """The Cityscapes labelIds that rendered scenes use."""

    STATIC = 4
    ROAD = 7
    SIDEWALK = 8
    BUILDING = 11
    WALL = 12
    FENCE = 13
    POLE = 17
    TRAFFIC_LIGHT = 19
    TRAFFIC_SIGN = 20
    VEGETATION = 21
    TERRAIN = 22
    SKY = 23
    PERSON = 24
    RIDER = 25
    CAR = 26
    TRUCK = 27
    BUS = 28
    TRAIN = 31
    MOTORCYCLE = 32
    BICYCLE = 33


INSTANCE_LABELS = frozenset(number for number, label in enumerate(LABELS) if label.has_instances)
"""Ids of the classes in which Cityscapes numbers the objects."""

PALETTE: NDArray[np.uint8] = np.array([label.color for label in LABELS], np.uint8)
"""Official RGB colour of each labelId 0..33, uint8 [34,3]."""
