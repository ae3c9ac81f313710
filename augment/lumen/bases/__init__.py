"""The frozen base models under a layout adapter, a file for each family, behind one interface."""
