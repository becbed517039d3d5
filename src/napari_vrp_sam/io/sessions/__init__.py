"""Session folders: image, annotations, settings and results."""
