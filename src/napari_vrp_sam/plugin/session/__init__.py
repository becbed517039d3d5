"""Saving and opening of sessions."""
