"""Torch modules and their weights: encoders, prompts and mask decoders; loaded by `load_model`."""
