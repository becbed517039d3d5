"""Annotations of one frame: points, scribbles, boxes, masks, label images; simulated ones."""
