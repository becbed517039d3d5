"""Torch modules and their weights: encoders, prompts and mask decoders, behind `load_model`."""
