"""Runs that were interrupted because napari closed: their frames are kept, and can be resumed."""
