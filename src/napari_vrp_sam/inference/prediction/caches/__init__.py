"""Caches of the features of frames, in memory and on disk."""
