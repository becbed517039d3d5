"""Frames that show another scene than the annotated ones.

A probe knows only the annotated frames: in another photograph of the same class it recognises
little. The mask decoder was trained on pairs of different images, and has a larger share there.
Where all frames are alike, as in a stack, the probe is often the better of the two.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures, Prompts
from napari_vrp_sam.models.calibration import ramp
from napari_vrp_sam.models.lite.calibration import MAX_SHARE

LEVEL = 2
"""Map whose mean describes a scene: that at stride 8, the grid of the image embedding."""

SIMILARITIES = (0.74, 0.80)
"""Similarity of two frames up to which they are different scenes, and from which they are the same.
These and the other settings were chosen on 24 training datasets."""

ALIKE = (0.90, 0.96)
"""Similarity up to which trees without views have no weight, and from which they have their full
weight: in stacks and in images of one kind, taken in the same way."""

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


def similarity(scene: Tensor, references: Tensor | None) -> float | Tensor:
    """Return the similarity of a frame to the annotated ones, up to 1.

    Parameters
    ----------
    scene : Tensor, shape (C,)
        Result of `describe_scene`.
    references : Tensor, shape (R, C), optional
        Scenes of the annotated frames; the most similar one counts. None counts as the same scene.

    Returns
    -------
    float or Tensor
        A scalar; a tensor on the device of the scene, because a number would wait for the device.
    """
    if references is None:
        return 1.0
    return F.cosine_similarity(scene[None], references).amax()


def plain_weight(similar: float | Tensor) -> float | Tensor:
    """Return the weight of trees without views on a frame, given its similarity."""
    return ramp(similar, ALIKE)


def decoder_shares(prompts: Prompts) -> list[float | Tensor]:
    """Return the share of the mask decoder on a frame, for each class of its prompts."""
    each = zip(prompts.calibrations, prompts.similarities, strict=True)
    return [_share(c.decoder_share, ramp(similar, SIMILARITIES)) for c, similar in each]


def _share(share: float, same: float | Tensor) -> float | Tensor:
    """Return the share of the mask decoder, given that in the scene of the annotated frames."""
    return share * same + other_scene_share(share) * (1 - same) if share else share
