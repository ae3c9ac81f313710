"""The 34 labels of Cityscapes, and the 19 classes among them that it is judged on; BDD100K uses the same 19."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.taxonomies.taxonomy import Color, Taxonomy

Category = Literal["void", "flat", "construction", "object", "nature", "sky", "human", "vehicle"]


@dataclass(frozen=True)
class Label:
    """A value of ``labelIds`` images.

    ``evaluated`` marks the classes of the benchmark, all others are ignored there. Where ``has_instances``, an
    object's pixels have the value ``label id * 1000 + number`` in ``instanceIds`` images; all others have the
    label id.
    """

    name: str
    category: Category
    color: Color
    evaluated: bool = False
    has_instances: bool = False


# The place of a label is its id. Licence plates, id -1, are in the polygons alone and never drawn.
LABELS = (
    Label("unlabeled", "void", (0, 0, 0)),
    Label("ego vehicle", "void", (0, 0, 0)),
    Label("rectification border", "void", (0, 0, 0)),
    Label("out of roi", "void", (0, 0, 0)),
    Label("static", "void", (0, 0, 0)),
    Label("dynamic", "void", (111, 74, 0)),
    Label("ground", "void", (81, 0, 81)),
    Label("road", "flat", (128, 64, 128), evaluated=True),
    Label("sidewalk", "flat", (244, 35, 232), evaluated=True),
    Label("parking", "flat", (250, 170, 160)),
    Label("rail track", "flat", (230, 150, 140)),
    Label("building", "construction", (70, 70, 70), evaluated=True),
    Label("wall", "construction", (102, 102, 156), evaluated=True),
    Label("fence", "construction", (190, 153, 153), evaluated=True),
    Label("guard rail", "construction", (180, 165, 180)),
    Label("bridge", "construction", (150, 100, 100)),
    Label("tunnel", "construction", (150, 120, 90)),
    Label("pole", "object", (153, 153, 153), evaluated=True),
    Label("polegroup", "object", (153, 153, 153)),
    Label("traffic light", "object", (250, 170, 30), evaluated=True),
    Label("traffic sign", "object", (220, 220, 0), evaluated=True),
    Label("vegetation", "nature", (107, 142, 35), evaluated=True),
    Label("terrain", "nature", (152, 251, 152), evaluated=True),
    Label("sky", "sky", (70, 130, 180), evaluated=True),
    Label("person", "human", (220, 20, 60), evaluated=True, has_instances=True),
    Label("rider", "human", (255, 0, 0), evaluated=True, has_instances=True),
    Label("car", "vehicle", (0, 0, 142), evaluated=True, has_instances=True),
    Label("truck", "vehicle", (0, 0, 70), evaluated=True, has_instances=True),
    Label("bus", "vehicle", (0, 60, 100), evaluated=True, has_instances=True),
    Label("caravan", "vehicle", (0, 0, 90), has_instances=True),
    Label("trailer", "vehicle", (0, 0, 110), has_instances=True),
    Label("train", "vehicle", (0, 80, 100), evaluated=True, has_instances=True),
    Label("motorcycle", "vehicle", (0, 0, 230), evaluated=True, has_instances=True),
    Label("bicycle", "vehicle", (119, 11, 32), evaluated=True, has_instances=True),
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

# Not another taxonomy that happens to be equal: stores of both sets mix, and judge each other, as they are.
BDD100K = CITYSCAPES
