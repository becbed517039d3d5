"""Datasets with ground truth: folders, COCO files, and the few-shot benchmarks."""
