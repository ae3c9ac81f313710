"""The 34 labels of Cityscapes, and the 19 classes of its benchmark among them; BDD100K uses the same 19."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.taxonomies.taxonomy import Color, Taxonomy

Category = Literal["void", "flat", "construction", "object", "nature", "sky", "human", "vehicle"]


@dataclass(frozen=True)
class CityscapesLabel:
    """A value of ``labelIds`` images.

    ``evaluated`` marks the classes of the benchmark, which ignores all others. With ``has_instances``, an object's
    pixels have the value ``label id * 1000 + number`` in ``instanceIds`` images; all others have the label id.
    """

    name: str
    category: Category
    color: Color
    evaluated: bool = False
    has_instances: bool = False


# The index of a label is its id. Licence plates, id -1, are only in the polygons, never in the images.
LABELS = (
    CityscapesLabel("unlabeled", "void", (0, 0, 0)),
    CityscapesLabel("ego vehicle", "void", (0, 0, 0)),
    CityscapesLabel("rectification border", "void", (0, 0, 0)),
    CityscapesLabel("out of roi", "void", (0, 0, 0)),
    CityscapesLabel("static", "void", (0, 0, 0)),
    CityscapesLabel("dynamic", "void", (111, 74, 0)),
    CityscapesLabel("ground", "void", (81, 0, 81)),
    CityscapesLabel("road", "flat", (128, 64, 128), evaluated=True),
    CityscapesLabel("sidewalk", "flat", (244, 35, 232), evaluated=True),
    CityscapesLabel("parking", "flat", (250, 170, 160)),
    CityscapesLabel("rail track", "flat", (230, 150, 140)),
    CityscapesLabel("building", "construction", (70, 70, 70), evaluated=True),
    CityscapesLabel("wall", "construction", (102, 102, 156), evaluated=True),
    CityscapesLabel("fence", "construction", (190, 153, 153), evaluated=True),
    CityscapesLabel("guard rail", "construction", (180, 165, 180)),
    CityscapesLabel("bridge", "construction", (150, 100, 100)),
    CityscapesLabel("tunnel", "construction", (150, 120, 90)),
    CityscapesLabel("pole", "object", (153, 153, 153), evaluated=True),
    CityscapesLabel("polegroup", "object", (153, 153, 153)),
    CityscapesLabel("traffic light", "object", (250, 170, 30), evaluated=True),
    CityscapesLabel("traffic sign", "object", (220, 220, 0), evaluated=True),
    CityscapesLabel("vegetation", "nature", (107, 142, 35), evaluated=True),
    CityscapesLabel("terrain", "nature", (152, 251, 152), evaluated=True),
    CityscapesLabel("sky", "sky", (70, 130, 180), evaluated=True),
    CityscapesLabel("person", "human", (220, 20, 60), evaluated=True, has_instances=True),
    CityscapesLabel("rider", "human", (255, 0, 0), evaluated=True, has_instances=True),
    CityscapesLabel("car", "vehicle", (0, 0, 142), evaluated=True, has_instances=True),
    CityscapesLabel("truck", "vehicle", (0, 0, 70), evaluated=True, has_instances=True),
    CityscapesLabel("bus", "vehicle", (0, 60, 100), evaluated=True, has_instances=True),
    CityscapesLabel("caravan", "vehicle", (0, 0, 90), has_instances=True),
    CityscapesLabel("trailer", "vehicle", (0, 0, 110), has_instances=True),
    CityscapesLabel("train", "vehicle", (0, 80, 100), evaluated=True, has_instances=True),
    CityscapesLabel("motorcycle", "vehicle", (0, 0, 230), evaluated=True, has_instances=True),
    CityscapesLabel("bicycle", "vehicle", (119, 11, 32), evaluated=True, has_instances=True),
)

# The label id of each train id.
LABEL_IDS = tuple(number for number, label in enumerate(LABELS) if label.evaluated)
_EVALUATED = tuple(LABELS[number] for number in LABEL_IDS)

CITYSCAPES = Taxonomy(
    name="cityscapes",
    classes=tuple(label.name for label in _EVALUATED),
    palette=tuple(label.color for label in _EVALUATED),
    things=tuple(label.name for label in _EVALUATED if label.has_instances),
)

# The same object, not an equal one: stores of both sets can be mixed without a mapping.
BDD100K = CITYSCAPES
