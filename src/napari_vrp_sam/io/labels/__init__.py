"""Writers for labels and probabilities, frame by frame, and the journal to resume a run."""
