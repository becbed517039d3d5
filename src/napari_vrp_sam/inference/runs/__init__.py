"""Runs: a job goes in, events come out; in a thread, in a process or on dask workers."""
