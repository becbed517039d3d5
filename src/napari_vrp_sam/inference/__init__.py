"""A model run over a stack: frames, normalisation, prediction, and the engine that works."""
