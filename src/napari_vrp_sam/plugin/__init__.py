"""napari plugin: dock widgets, annotation commands and sample data.

This is the only package that imports napari and Qt.
"""
