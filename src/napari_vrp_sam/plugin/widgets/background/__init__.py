"""Runs and files that are followed on the GUI thread while others do the work."""
