"""Weights files: the built-in catalogue, downloads, and reading and writing checkpoints."""
