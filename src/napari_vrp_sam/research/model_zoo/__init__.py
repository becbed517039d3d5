"""Packages in the format of the BioImage Model Zoo."""
