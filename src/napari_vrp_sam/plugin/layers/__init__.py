"""Conversion between napari layers and arrays: image stacks, annotations, results."""
