"""Frames that are too large for the memory: reading by windows, and arrays in temporary files."""
