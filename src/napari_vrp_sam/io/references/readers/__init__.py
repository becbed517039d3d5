"""Readers of annotation files, one module for each format."""
