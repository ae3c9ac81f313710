"""Mappings from the classes of other sets to the 19 classes of Cityscapes.

A class maps to the one that nearly all of its pixels have by the labelling policy of Cityscapes. A class that is spread
over several of them, or unlabelled there, is in no table and is ignored: a missing label is better than a wrong one.
"""

from __future__ import annotations

# Target class -> source classes.
Groups = dict[str, tuple[str, ...]]

# Ignored: "sign symbol" holds traffic lights and advertisements too, "bicyclist" is rider and bicycle in one.
CAMVID_GROUPS: Groups = {
    "sky": ("sky",),
    # Includes walls, arches and tunnels, which have few pixels.
    "building": ("building",),
    "pole": ("pole",),
    "road": ("road",),
    "sidewalk": ("pavement",),
    # Includes some verges, which would be "terrain".
    "vegetation": ("tree",),
    "fence": ("fence",),
    # Includes the trucks and buses, which are few.
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

# Ignored although one may expect a mapping: "signboard" is advertisements as well as traffic signs, "path" paved or
# not, "dirt track" driven on or not; "door", "windowpane" and "column" are mostly seen indoors; mountains, hills,
# rocks, water, bridges and stairs are void in Cityscapes, and so are all things that no street has.
ADE20K_GROUPS: Groups = {
    "road": ("road",),
    "sidewalk": ("sidewalk",),
    # A booth or a canopy may be free-standing; these five are always buildings.
    "building": ("building", "house", "skyscraper", "hovel", "tower"),
    # Mostly indoors, but in a street it is free-standing: facades are "building".
    "wall": ("wall",),
    # A railing is the fence of a bridge or a balcony; a bannister belongs to stairs.
    "fence": ("fence", "railing"),
    # Cityscapes labels everything mounted on a pole as pole, except traffic lights and signs.
    "pole": ("pole", "streetlight"),
    "traffic light": ("traffic light",),
    "vegetation": ("tree", "plant", "palm", "flower"),
    "terrain": ("grass", "earth", "field", "land", "sand"),
    "sky": ("sky",),
    # Includes the few riders, who would be "rider" in Cityscapes.
    "person": ("person",),
    # Cityscapes labels vans as cars.
    "car": ("car", "van"),
    "truck": ("truck",),
    "bus": ("bus",),
    "motorcycle": ("minibike",),
    "bicycle": ("bicycle",),
}

# Ignored although one may expect a mapping: the seven walls are facades, rooms and free-standing walls; doors and
# windows are seen from inside as often as from outside; "gravel", "ground-other", "playingfield", "moss" and "snow"
# cover more than one class; "potted plant" includes the pot; "parking meter", "fire hydrant", "bench", water, bridges,
# mountains and railroads are void in Cityscapes.
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
    # Includes the riders, as in ADE20K.
    "person": ("person",),
    "car": ("car",),
    "truck": ("truck",),
    "bus": ("bus",),
    "train": ("train",),
    "motorcycle": ("motorcycle",),
    "bicycle": ("bicycle",),
}
