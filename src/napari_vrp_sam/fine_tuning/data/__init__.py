"""Annotated frames, and the crops and episodes drawn from them for training."""
