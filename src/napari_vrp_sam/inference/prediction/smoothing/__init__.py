"""Averages of uncertain frames of a stack with their neighbours."""
