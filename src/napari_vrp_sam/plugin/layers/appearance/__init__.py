"""Colours, contours and styles of layers."""
