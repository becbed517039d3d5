"""Commands for research: `evaluate`, `train`, `data` and `benchmark`."""
