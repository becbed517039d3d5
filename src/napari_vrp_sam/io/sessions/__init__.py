"""Sessions on disk: the image, annotations, settings and results of a run."""
