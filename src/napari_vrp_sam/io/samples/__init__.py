"""Sample images: generated ones with ground truth, and real ones to download.

Generated samples resemble real images and their difficulties: objects with the gray values of the
background, similar neighbours, and slices that differ in contrast and noise.
"""

from napari_vrp_sam.io.samples.nuclei import sample_nuclei
from napari_vrp_sam.io.samples.real_stacks import download_sample
from napari_vrp_sam.io.samples.scene import sample_scene
from napari_vrp_sam.io.samples.tissue import sample_stack

__all__ = ["download_sample", "sample_nuclei", "sample_scene", "sample_stack"]
