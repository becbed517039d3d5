"""Evaluation protocols, metrics and baselines."""
