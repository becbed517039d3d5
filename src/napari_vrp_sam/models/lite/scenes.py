"""Share of the mask decoder on frames that show another scene than the annotated ones.

A probe knows only the annotated frames: in another photograph of the same class it recognises
little. The mask decoder was trained on pairs of different images. Where all frames are alike, as in
a stack, the probe is often the better of the two.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures, Prompts
from napari_vrp_sam.models.lite.calibration import MAX_SHARE

LEVEL = 2
"""Map whose mean describes a scene: that at stride 8, the grid of the image embedding."""

SIMILARITIES = (0.74, 0.80)
"""Similarity of two frames up to which they are different scenes, and from which they are the same.
These and the other settings were chosen on 24 training datasets."""

OTHER_SCENE_SHARE = 0.95
"""Share in another scene of a mask decoder that reproduces the annotation as well as the probe."""


def describe_scene(features: FrameFeatures) -> Tensor:
    """Return the mean features of one frame, shape (C,)."""
    return features.semantic[LEVEL][0].mean(dim=(1, 2))


def other_scene_share(share: float) -> float:
    """Return the share of the mask decoder in another scene, given that in the annotated one.

    It falls with the square root of the ratio of which `calibration.decoder_share` is the square.
    """
    return max(share, OTHER_SCENE_SHARE * math.sqrt(math.sqrt(share / MAX_SHARE)))


def share_in_scene(share: float, scene: Tensor, references: Tensor) -> Tensor:
    """Return the share of the mask decoder on a frame, a scalar on the device of its scene.

    Parameters
    ----------
    share : float
        Share in the scene of the annotated frames.
    scene : Tensor, shape (C,)
        Result of `describe_scene`.
    references : Tensor, shape (R, C)
        Scenes of the annotated frames; the most similar one counts.
    """
    low, high = SIMILARITIES
    similarity = F.cosine_similarity(scene[None], references).amax()
    other = other_scene_share(share)
    # Not as a Python number, which would wait for the device.
    return other + (share - other) * ((similarity - low) / (high - low)).clamp(0, 1)


def decoder_shares(features: FrameFeatures, prompts: Prompts) -> list[float | Tensor]:
    """Return the share of the mask decoder on a frame or tile, for each class of the prompts."""
    shares: list[float | Tensor] = [c.decoder_share for c in prompts.calibrations]
    if all(references is None for references in prompts.scenes):
        return shares
    # Tiles have the share of their frame: another one in each would be seen at the seams.
    context = prompts.frame_context
    scene = describe_scene(features) if context is None else context[0].scene
    for at, (c, references) in enumerate(zip(prompts.calibrations, prompts.scenes, strict=True)):
        if references is not None and c.decoder_share:
            shares[at] = share_in_scene(c.decoder_share, scene, references)
    return shares
