"""Saved segmenters: the list of the latest ones, and their application to an image."""
