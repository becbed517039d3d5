"""Labels from the probabilities of a run: threshold of each class, smoothing and clean-up."""
