"""Widgets for the result of a run: display, corrections, export."""
