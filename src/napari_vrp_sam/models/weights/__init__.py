"""Weights files: catalogue of the built-in models, downloads, reading and writing."""
