"""The probe: classifiers fitted to the annotation on frozen features."""
