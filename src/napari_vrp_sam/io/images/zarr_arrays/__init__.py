"""Zarr arrays and OME-Zarr images: their metadata, and the check of their chunks."""
