"""Unfinished runs of the window: their finished frames, and a session to resume them from.

Each run has a folder, which is deleted when the run ends. One that remains was interrupted, for
example because napari was closed.
"""
