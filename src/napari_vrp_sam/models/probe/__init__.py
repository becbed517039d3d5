"""Pixel classifiers ("probes") fitted to the annotation on frozen features."""
