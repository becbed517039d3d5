"""Objects of a segmented stack: instances, links between frames, and their table."""
