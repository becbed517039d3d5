"""Saving the annotations and settings of the window as a session, and opening sessions."""
