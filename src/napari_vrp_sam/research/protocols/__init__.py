"""Evaluation protocols, metrics and baselines: one slice, few-shot segmentation, speed."""
