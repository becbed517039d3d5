"""The *Segment stack* widget."""
