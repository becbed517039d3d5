"""Fine-tuning: a model learns from one's own annotated frames."""
