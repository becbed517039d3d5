"""Stacks and labels read and written; data sets and generated samples."""
