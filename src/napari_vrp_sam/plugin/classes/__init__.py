"""Segmentation classes: their list in the dock and the annotation layers they are drawn in."""
