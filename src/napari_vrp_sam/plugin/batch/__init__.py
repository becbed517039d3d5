"""Many files segmented with one annotation: the run, its question and its list of results."""
