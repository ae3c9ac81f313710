"""The 150 classes of the scene parsing benchmark on ADE20K."""

from __future__ import annotations

from pipeline.taxonomies.rows import taxonomy_from_rows

# Label files hold 0 for everything else, and a class has its train id plus one.
RAW_IDS = tuple(range(1, 151))

# Names and colours as in segmentation frameworks; two classes share a colour. Things are the 100 classes of the
# benchmark's instance track.
ADE20K = taxonomy_from_rows(
    "ade20k",
    """
120 120 120  stuff  wall
180 120 120  stuff  building
  6 230 230  stuff  sky
 80  50  50  stuff  floor
  4 200   3  stuff  tree
120 120  80  stuff  ceiling
140 140 140  stuff  road
204   5 255  thing  bed
230 230 230  thing  windowpane
  4 250   7  stuff  grass
224   5 255  thing  cabinet
235 255   7  stuff  sidewalk
150   5  61  thing  person
120 120  70  stuff  earth
  8 255  51  thing  door
255   6  82  thing  table
143 255 140  stuff  mountain
204 255   4  stuff  plant
255  51   7  thing  curtain
204  70   3  thing  chair
  0 102 200  thing  car
 61 230 250  stuff  water
255   6  51  thing  painting
 11 102 255  thing  sofa
255   7  71  thing  shelf
255   9 224  stuff  house
  9   7 230  stuff  sea
220 220 220  thing  mirror
255   9  92  stuff  rug
112   9 255  stuff  field
  8 255 214  thing  armchair
  7 255 224  thing  seat
255 184   6  thing  fence
 10 255  71  thing  desk
255  41  10  stuff  rock
  7 255 255  thing  wardrobe
224 255   8  thing  lamp
102   8 255  thing  bathtub
255  61   6  thing  railing
255 194   7  thing  cushion
255 122   8  stuff  base
  0 255  20  thing  box
255   8  41  thing  column
255   5 153  thing  signboard
  6  51 255  thing  chest of drawers
235  12 255  thing  counter
160 150  20  stuff  sand
  0 163 255  thing  sink
140 140 140  stuff  skyscraper
250  10  15  thing  fireplace
 20 255   0  thing  refrigerator
 31 255   0  stuff  grandstand
255  31   0  stuff  path
255 224   0  thing  stairs
153 255   0  stuff  runway
  0   0 255  thing  case
255  71   0  thing  pool table
  0 235 255  thing  pillow
  0 173 255  thing  screen door
 31   0 255  stuff  stairway
 11 200 200  stuff  river
255  82   0  stuff  bridge
  0 255 245  thing  bookcase
  0  61 255  stuff  blind
  0 255 112  thing  coffee table
  0 255 133  thing  toilet
255   0   0  thing  flower
255 163   0  thing  book
255 102   0  stuff  hill
194 255   0  thing  bench
  0 143 255  thing  countertop
 51 255   0  thing  stove
  0  82 255  thing  palm
  0 255  41  thing  kitchen island
  0 255 173  thing  computer
 10   0 255  thing  swivel chair
173 255   0  thing  boat
  0 255 153  stuff  bar
255  92   0  thing  arcade machine
255   0 255  stuff  hovel
255   0 245  thing  bus
255   0 102  thing  towel
255 173   0  thing  light
255   0  20  thing  truck
255 184 184  stuff  tower
  0  31 255  thing  chandelier
  0 255  61  thing  awning
  0  71 255  thing  streetlight
255   0 204  thing  booth
  0 255 194  thing  television receiver
  0 255  82  thing  airplane
  0  10 255  stuff  dirt track
  0 112 255  thing  apparel
 51   0 255  thing  pole
  0 194 255  stuff  land
  0 122 255  thing  bannister
  0 255 163  stuff  escalator
255 153   0  thing  ottoman
  0 255  10  thing  bottle
255 112   0  stuff  buffet
143 255   0  stuff  poster
 82   0 255  stuff  stage
163 255   0  thing  van
255 235   0  thing  ship
  8 184 170  thing  fountain
133   0 255  stuff  conveyer belt
  0 255  92  stuff  canopy
184   0 255  thing  washer
255   0  31  thing  plaything
  0 184 255  stuff  swimming pool
  0 214 255  thing  stool
255   0 112  thing  barrel
 92 255   0  thing  basket
  0 224 255  stuff  waterfall
112 224 255  stuff  tent
 70 184 160  thing  bag
163   0 255  thing  minibike
153   0 255  stuff  cradle
 71 255   0  thing  oven
255   0 163  thing  ball
255 204   0  thing  food
255   0 143  thing  step
  0 255 235  stuff  tank
133 255   0  thing  trade name
255   0 235  thing  microwave
245   0 255  thing  pot
255   0 122  thing  animal
255 245   0  thing  bicycle
 10 190 212  stuff  lake
214 255   0  thing  dishwasher
  0 204 255  thing  screen
 20   0 255  stuff  blanket
255 255   0  thing  sculpture
  0 153 255  thing  hood
  0  41 255  thing  sconce
  0 255 204  thing  vase
 41   0 255  thing  traffic light
 41 255   0  thing  tray
173   0 255  thing  ashcan
  0 245 255  thing  fan
 71   0 255  stuff  pier
122   0 255  stuff  crt screen
  0 255 184  thing  plate
  0  92 255  thing  monitor
184 255   0  thing  bulletin board
  0 133 255  stuff  shower
255 214   0  thing  radiator
 25 194 194  thing  glass
102 255   0  thing  clock
 92   0 255  thing  flag
""",
)
