"""Readers of image stacks: TIFF, OME-Zarr, folders of images and single pictures."""
