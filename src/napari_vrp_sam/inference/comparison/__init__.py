"""Comparison of models on a user's stack: accuracy on held-out annotations, time, memory."""
