"""What masks, colours, segments and polygons mean: from files of annotations to train ids and objects."""
