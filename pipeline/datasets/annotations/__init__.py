"""Decoding of annotations: masks, colours, segments and polygons become train ids and objects."""
