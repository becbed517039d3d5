"""Export of models as packages for the BioImage Model Zoo (bioimage.io)."""
