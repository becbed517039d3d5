"""Interrupted runs: checkpoints, saved jobs and the lock of a run."""
