"""Procedurally generated scenes with unlimited classes and their masks.

A `World` fixes the look of its classes; each rendering of it is another layout.
"""

from napari_vrp_sam.training.synthetic.scenes import WORLDS, SceneSet, SyntheticScenes

__all__ = ["WORLDS", "SceneSet", "SyntheticScenes"]
