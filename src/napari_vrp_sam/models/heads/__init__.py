"""Dense heads: the part of a fine-tuned model that is specific to the user's classes."""
