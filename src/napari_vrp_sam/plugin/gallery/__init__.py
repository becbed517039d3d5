"""The gallery of models: what they are for, downloads, and their comparison on the image."""
