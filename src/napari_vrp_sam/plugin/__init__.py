"""The napari plugin: napari and Qt live here and nowhere else."""
