"""Runs on the workers of dask.distributed."""
