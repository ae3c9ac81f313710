"""How sure a comparison of mixes is: intervals over seeds and images, and what to conclude from them."""

CONFIDENCE = 0.95
# Below either, nothing is recommended: from two seeds the error rate is not kept, and among few images a handful of
# hard ones decide.
MIN_SEEDS, MIN_IMAGES = 3, 30
# Images that must have a class for an interval of its IoU; with fewer it would cover less than it says.
MIN_CLASS_IMAGES = 10
