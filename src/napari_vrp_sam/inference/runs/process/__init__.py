"""Runs in a worker process."""
