"""Inference: stacks as frames, prediction by a model, runs, and the `Segmenter`."""
