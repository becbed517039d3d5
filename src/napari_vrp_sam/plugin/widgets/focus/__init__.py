"""Keyboard navigation of docks, and the outline of the focused control."""
