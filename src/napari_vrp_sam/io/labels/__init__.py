"""Writers of labels and probabilities, frame by frame, and the journal that resumes a run."""
