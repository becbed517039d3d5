"""Layers of the viewer: annotations, results, and how they lie on an image."""
