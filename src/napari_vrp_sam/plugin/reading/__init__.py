"""Opening of image files in napari: layers with calibration, and a choice among several images."""
