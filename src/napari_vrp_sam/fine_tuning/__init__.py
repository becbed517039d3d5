"""Fine-tuning: adapt a model to the user's own annotated frames."""
