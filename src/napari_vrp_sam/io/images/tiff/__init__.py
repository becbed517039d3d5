"""TIFF files: their images, pages, samples and metadata."""
