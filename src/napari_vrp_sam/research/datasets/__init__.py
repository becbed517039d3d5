"""Datasets with ground truth: folders of images and masks, COCO files, few-shot benchmarks."""
