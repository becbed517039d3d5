"""Layers that runs add: results, previews, probabilities and objects, with accepted frames."""
