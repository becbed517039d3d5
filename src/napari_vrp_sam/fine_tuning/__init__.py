"""Fine-tuning of a model on a user's annotated frames, as an interruptible job."""
