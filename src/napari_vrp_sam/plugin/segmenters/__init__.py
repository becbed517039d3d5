"""Saved segmenters: those of the last days, their pictures, and their application to an image."""
