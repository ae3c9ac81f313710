"""The classes of CamVid: the 32 of the original, and the 11 that are in common use."""

from __future__ import annotations

from pipeline.taxonomies.taxonomy import Taxonomy

# The 11 classes of SegNet, in the colours of the classes of the same name in the 32-class original. SEGNET_GROUPS lists
# the original classes of each.
CAMVID = Taxonomy(
    name="camvid",
    classes=(
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign symbol",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    palette=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (0, 0, 192),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
)

# The labels of the original are RGB images in these colours. Its 32nd class is void, which is ignored here.
VOID_COLOR = (0, 0, 0)
_COLORS = {
    "animal": (64, 128, 64),
    "archway": (192, 0, 128),
    "bicyclist": (0, 128, 192),
    "bridge": (0, 128, 64),
    "building": (128, 0, 0),
    "car": (64, 0, 128),
    "cart luggage pram": (64, 0, 192),
    "child": (192, 128, 64),
    "column pole": (192, 192, 128),
    "fence": (64, 64, 128),
    "lane markings driving": (128, 0, 192),
    "lane markings non-driving": (192, 0, 64),
    "misc text": (128, 128, 64),
    "motorcycle scooter": (192, 0, 192),
    "other moving": (128, 64, 64),
    "parking block": (64, 192, 128),
    "pedestrian": (64, 64, 0),
    "road": (128, 64, 128),
    "road shoulder": (128, 128, 192),
    "sidewalk": (0, 0, 192),
    "sign symbol": (192, 128, 128),
    "sky": (128, 128, 128),
    "suv pickup truck": (64, 128, 192),
    "traffic cone": (0, 0, 64),
    "traffic light": (0, 64, 64),
    "train": (192, 64, 128),
    "tree": (128, 128, 0),
    "truck bus": (192, 128, 192),
    "tunnel": (64, 0, 64),
    "vegetation misc": (192, 192, 0),
    "wall": (64, 192, 0),
}
CAMVID32 = Taxonomy(name="camvid32", classes=tuple(_COLORS), palette=tuple(_COLORS.values()))

# The original classes of each of the 11, as in the literature; the set itself does not list them. Four are in none:
# SegNet's own labels leave nearly all pixels of "archway", "cart luggage pram", "child" and "other moving" unlabelled
# (89 to 98 %), so they are ignored.
SEGNET_GROUPS: dict[str, tuple[str, ...]] = {
    "sky": ("sky",),
    "building": ("bridge", "building", "tunnel", "wall"),
    "pole": ("column pole", "traffic cone"),
    "road": ("lane markings driving", "lane markings non-driving", "road"),
    "pavement": ("parking block", "road shoulder", "sidewalk"),
    "tree": ("tree", "vegetation misc"),
    "sign symbol": ("misc text", "sign symbol", "traffic light"),
    "fence": ("fence",),
    "car": ("car", "suv pickup truck", "train", "truck bus"),
    "pedestrian": ("animal", "pedestrian"),
    "bicyclist": ("bicyclist", "motorcycle scooter"),
}
