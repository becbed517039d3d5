"""Readers for image stacks: TIFF, OME-Zarr, folders of images and single images."""
