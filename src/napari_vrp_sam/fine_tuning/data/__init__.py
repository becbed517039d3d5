"""Annotated frames, their hold-out split, and the training data drawn from them."""
