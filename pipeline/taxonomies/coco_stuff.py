"""The 171 classes of COCO-Stuff: 80 of things and 91 of stuff."""

from __future__ import annotations

from pipeline.taxonomies.rows import taxonomy_from_rows

# Of the 182 categories that were named, 11 things were never annotated: street sign, hat, shoe, eye glasses, plate,
# mirror, window, desk, door, blender and hair brush.
_NEVER_ANNOTATED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
CATEGORY_IDS = tuple(category for category in range(1, 183) if category not in _NEVER_ANNOTATED)
# A pixel of ``stuffthingmaps`` holds its category minus one, and 255 where it has none.
RAW_IDS = tuple(category - 1 for category in CATEGORY_IDS)

# Names and colours as in segmentation frameworks; some classes share a colour.
COCO_STUFF = taxonomy_from_rows(
    "coco-stuff",
    """
  0 192  64  thing  person
  0 192  64  thing  bicycle
  0  64  96  thing  car
128 192 192  thing  motorcycle
  0  64  64  thing  airplane
  0 192 224  thing  bus
  0 192 192  thing  train
128 192  64  thing  truck
  0 192  96  thing  boat
128 192  64  thing  traffic light
128  32 192  thing  fire hydrant
  0   0 224  thing  stop sign
  0   0  64  thing  parking meter
  0 160 192  thing  bench
128   0  96  thing  bird
128   0 192  thing  cat
  0  32 192  thing  dog
128 128 224  thing  horse
  0   0 192  thing  sheep
128 160 192  thing  cow
128 128   0  thing  elephant
128   0  32  thing  bear
128  32   0  thing  zebra
128   0 128  thing  giraffe
 64 128  32  thing  backpack
  0 160   0  thing  umbrella
  0   0   0  thing  handbag
192 128 160  thing  tie
  0  32   0  thing  suitcase
  0 128 128  thing  frisbee
 64 128 160  thing  skis
128 160   0  thing  snowboard
  0 128   0  thing  sports ball
192 128  32  thing  kite
128  96 128  thing  baseball bat
  0   0 128  thing  baseball glove
 64   0  32  thing  skateboard
  0 224 128  thing  surfboard
128   0   0  thing  tennis racket
192   0 160  thing  bottle
  0  96 128  thing  wine glass
128 128 128  thing  cup
 64   0 160  thing  fork
128 224 128  thing  knife
128 128  64  thing  spoon
192   0  32  thing  bowl
128  96   0  thing  banana
128   0 192  thing  apple
  0 128  32  thing  sandwich
 64 224   0  thing  orange
  0   0  64  thing  broccoli
128 128 160  thing  carrot
 64  96   0  thing  hot dog
  0 128 192  thing  pizza
  0 128 160  thing  donut
192 224   0  thing  cake
  0 128  64  thing  chair
128 128  32  thing  couch
192  32 128  thing  potted plant
  0  64 192  thing  bed
  0   0  32  thing  dining table
 64 160 128  thing  toilet
128  64  64  thing  tv
128   0 160  thing  laptop
 64  32 128  thing  mouse
128 192 192  thing  remote
  0   0 160  thing  keyboard
192 160 128  thing  cell phone
128 192   0  thing  microwave
128   0  96  thing  oven
192  32   0  thing  toaster
128  64 128  thing  sink
 64 128  96  thing  refrigerator
 64 160   0  thing  book
  0  64   0  thing  clock
192 128 224  thing  vase
 64  32   0  thing  scissors
  0 192 128  thing  teddy bear
 64 128 224  thing  hair drier
192 160   0  thing  toothbrush
  0 192   0  stuff  banner
192 128  96  stuff  blanket
192  96 128  stuff  branch
  0  64 128  stuff  bridge
 64   0  96  stuff  building-other
 64 224 128  stuff  bush
128  64   0  stuff  cabinet
192   0 224  stuff  cage
 64  96 128  stuff  cardboard
128 192 128  stuff  carpet
 64   0 224  stuff  ceiling-other
192 224 128  stuff  ceiling-tile
128 192  64  stuff  cloth
192   0  96  stuff  clothes
192  96   0  stuff  clouds
128  64 192  stuff  counter
  0 128  96  stuff  cupboard
  0 224   0  stuff  curtain
 64  64  64  stuff  desk-stuff
128 128 224  stuff  dirt
  0  96   0  stuff  door-stuff
 64 192 192  stuff  fence
  0 128 224  stuff  floor-marble
128 224   0  stuff  floor-other
 64 192  64  stuff  floor-stone
128 128  96  stuff  floor-tile
128  32 128  stuff  floor-wood
 64   0 192  stuff  flower
  0  64  96  stuff  fog
  0 160 128  stuff  food-other
192   0  64  stuff  fruit
128  64 224  stuff  furniture-other
  0  32 128  stuff  grass
192 128 192  stuff  gravel
  0  64 224  stuff  ground-other
128 160 128  stuff  hill
192 128   0  stuff  house
128  64  32  stuff  leaves
128  32  64  stuff  light
192   0 128  stuff  mat
 64 192  32  stuff  metal
  0 160  64  stuff  mirror-stuff
 64   0   0  stuff  moss
192 192 160  stuff  mountain
  0  32  64  stuff  mud
 64 128 128  stuff  napkin
 64 192 160  stuff  net
128 160  64  stuff  paper
 64 128   0  stuff  pavement
192 192  32  stuff  pillow
128  96 192  stuff  plant-other
 64   0 128  stuff  plastic
 64  64  32  stuff  platform
  0 224 192  stuff  playingfield
192   0   0  stuff  railing
192  64 160  stuff  railroad
  0  96 192  stuff  river
192 128 128  stuff  road
 64  64 160  stuff  rock
128 224 192  stuff  roof
192 128  64  stuff  rug
192  64  32  stuff  salad
128  96  64  stuff  sand
192   0 192  stuff  sea
  0 192  32  stuff  shelf
 64 224  64  stuff  sky-other
 64   0  64  stuff  skyscraper
128 192 160  stuff  snow
 64  96  64  stuff  solid-other
 64 128 192  stuff  stairs
  0 192 160  stuff  stone
192 224  64  stuff  straw
 64 128  64  stuff  structural-other
128 192  32  stuff  table
192  32 192  stuff  tent
 64  64 192  stuff  textile-other
  0  64  32  stuff  towel
 64 160 192  stuff  tree
192  64  64  stuff  vegetable
128  64 160  stuff  wall-brick
 64  32 192  stuff  wall-concrete
192 192 192  stuff  wall-other
  0  64 160  stuff  wall-panel
192 160 192  stuff  wall-stone
192 192   0  stuff  wall-tile
128  64  96  stuff  wall-wood
192  32  64  stuff  water-other
192  64 128  stuff  waterdrops
 64 192  96  stuff  window-blind
 64 160  64  stuff  window-other
 64  64   0  stuff  wood
""",
)
