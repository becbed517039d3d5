"""Dock widget "Segment stack": runs, live preview, confidence of the result, tour."""
