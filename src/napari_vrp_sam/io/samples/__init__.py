"""Generated stacks with ground truth: made offline, of any seed, without a file.

They look like what they imitate and are hard in the same way: bodies that share their gray values
with what surrounds them, neighbours that look alike, and slices that differ in contrast and noise.
"""

from napari_vrp_sam.io.samples.nuclei import sample_nuclei
from napari_vrp_sam.io.samples.tissue import sample_stack

__all__ = ["sample_nuclei", "sample_stack"]
