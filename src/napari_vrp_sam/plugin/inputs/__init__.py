"""The inputs of a run: image, annotations, model and frame range."""
