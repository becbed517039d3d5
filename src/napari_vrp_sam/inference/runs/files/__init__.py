"""Files of runs: where results are written, and one annotation applied to many files."""
