"""Which classes of other sets are which of the 19 classes of Cityscapes.

A class goes where nearly all of its pixels belong by the labelling policy of Cityscapes. One that is spread over
several classes there, or is left unlabelled there, is in no table and is ignored: a pixel too few is judged
rather than one by a label that is wrong.
"""

from __future__ import annotations

# Target class -> source classes.
Groups = dict[str, tuple[str, ...]]

# Ignored: "sign symbol" holds traffic lights and advertisements too, "bicyclist" is rider and bicycle in one.
CAMVID_GROUPS: Groups = {
    "sky": ("sky",),
    # With walls, arches and tunnels, which few pixels are.
    "building": ("building",),
    "pole": ("pole",),
    "road": ("road",),
    "sidewalk": ("pavement",),
    # With some verges, which would be terrain.
    "vegetation": ("tree",),
    "fence": ("fence",),
    # With trucks and buses, which are few beside the cars.
    "car": ("car",),
    "person": ("pedestrian",),
}

# Ignored: "bicyclist" and "motorcycle scooter" hold rider and vehicle in one, "truck bus" two classes, "vegetation
# misc" hedges and verges, "road shoulder" what may be road, sidewalk or terrain; the rest is void in Cityscapes.
CAMVID32_GROUPS: Groups = {
    "sky": ("sky",),
    "building": ("building", "archway"),
    "wall": ("wall",),
    "pole": ("column pole",),
    "road": ("road", "lane markings driving", "lane markings non-driving"),
    "sidewalk": ("sidewalk",),
    "vegetation": ("tree",),
    "traffic sign": ("sign symbol",),
    "traffic light": ("traffic light",),
    "fence": ("fence",),
    # Pickup trucks would be trucks, but sport utility vehicles are most of their class.
    "car": ("car", "suv pickup truck"),
    "train": ("train",),
    "person": ("pedestrian", "child"),
}

# Ignored where one might think otherwise: "signboard" is advertisements as well as traffic signs, "path" paved or not,
# "dirt track" driven on or not; "door", "windowpane" and "column" are mostly seen indoors; mountains, hills, rocks,
# water, bridges and stairs are void in Cityscapes, and so is everything else that no street has.
ADE20K_GROUPS: Groups = {
    "road": ("road",),
    "sidewalk": ("sidewalk",),
    # A booth or a canopy may stand alone; these five are buildings whatever they look like.
    "building": ("building", "house", "skyscraper", "hovel", "tower"),
    # Indoors for the most part, but where there is a street it is one that stands by itself: facades are "building".
    "wall": ("wall",),
    # A railing is the fence of a bridge or a balcony; a bannister belongs to stairs.
    "fence": ("fence", "railing"),
    # Cityscapes counts whatever is mounted on a pole as pole, but for traffic lights and signs.
    "pole": ("pole", "streetlight"),
    "traffic light": ("traffic light",),
    "vegetation": ("tree", "plant", "palm", "flower"),
    "terrain": ("grass", "earth", "field", "land", "sand"),
    "sky": ("sky",),
    # Whoever rides is a person here too, and would be a rider: few do.
    "person": ("person",),
    # Cityscapes counts vans as cars.
    "car": ("car", "van"),
    "truck": ("truck",),
    "bus": ("bus",),
    "motorcycle": ("minibike",),
    "bicycle": ("bicycle",),
}

# Ignored where one might think otherwise: the seven walls are facades, rooms and walls that stand by themselves; doors
# and windows are seen from within as often as from without; "gravel", "ground-other", "playingfield", "moss" and
# "snow" lie on more than one class; "potted plant" is a pot as well; "parking meter", "fire hydrant", "bench", water,
# bridges, mountains and railroads are void in Cityscapes.
COCO_STUFF_GROUPS: Groups = {
    "road": ("road",),
    "sidewalk": ("pavement",),
    "building": ("building-other", "house", "skyscraper", "roof"),
    "fence": ("fence", "railing"),
    "traffic light": ("traffic light",),
    "traffic sign": ("stop sign",),
    "vegetation": ("tree", "bush", "branch", "leaves", "flower", "plant-other"),
    "terrain": ("grass", "dirt", "mud", "sand"),
    "sky": ("sky-other", "clouds"),
    # As in ADE20K, with its riders.
    "person": ("person",),
    "car": ("car",),
    "truck": ("truck",),
    "bus": ("bus",),
    "train": ("train",),
    "motorcycle": ("motorcycle",),
    "bicycle": ("bicycle",),
}
