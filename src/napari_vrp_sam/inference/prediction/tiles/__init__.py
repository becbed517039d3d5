"""Tiles of large frames: their plan, the blending of results, and computations in steps."""
