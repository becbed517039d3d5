"""Prediction of frames by one model: batches, tiles, GPU pipeline and feature caches."""
