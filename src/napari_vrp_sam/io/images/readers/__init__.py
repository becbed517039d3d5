"""Readers of image formats, one in each module; a new module is found by its `READER`."""
