"""Synthetic scenes: procedural worlds with unlimited classes to learn from."""

from napari_vrp_sam.training.synthetic.scenes import WORLDS, SceneSet, SyntheticScenes

__all__ = ["WORLDS", "SceneSet", "SyntheticScenes"]
