"""`lite`, the default model: one small backbone, a probe and a mask decoder."""
